//! Every command of the documentation: those that are run, in the order in which they are, and those that are not, with the reason.

/// One command as `commands.rs` reads it from the pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) command: &'static str,
    /// What has to be there or gone first, by the shell.
    pub(crate) before: &'static str,
    /// What stands for what the reader replaces, besides what `terminal.rs` replaces in every command.
    pub(crate) with: &'static [(&'static str, &'static str)],
    /// Exit codes that a reader may see.
    pub(crate) codes: &'static [i32],
    /// What of the output must be there.
    pub(crate) prints: &'static str,
    /// Why it is not run.
    pub(crate) why_not: Option<&'static str>,
}

pub(crate) fn all() -> impl Iterator<Item = &'static Step> {
    ON_THE_STAGE.iter().chain(HELM).chain(BY_HAND).chain(LEFT_OUT)
}

const fn run(command: &'static str) -> Step {
    Step { command, before: "", with: &[], codes: &[0], prints: "", why_not: None }
}

const fn left_out(command: &'static str, why_not: &'static str) -> Step {
    Step { why_not: Some(why_not), ..run(command) }
}

/// It finds what is there now, or nothing.
const fn filter(command: &'static str) -> Step {
    Step { codes: &[0, 1], ..run(command) }
}

const fn prints(command: &'static str, prints: &'static str) -> Step {
    Step { prints, ..run(command) }
}

/// As a shell tells that a program was ended by it.
const SIGPIPE: i32 = 141;
const RESOURCE: &[(&str, &str)] = &[("NAMESPACE", "fleet"), ("NAME", "ups-01.example.com-powerchute")];
const STATE: &[(&str, &str)] = &[("AGENT", "powerchute --config.file exporter.yaml")];
/// The host on the stage has its certificates from this CA, and lets in this name.
const FLEETS_CA: &str = "--ca-cert host-api-ca/ca.crt --ca-key host-api-ca/ca.key";
const CLIENT: &str = "--client --allowed-hosts";
const STORE: &[(&str, &str)] = &[("PATH", "keystore")];

/// With a real API server, the operator, an exporter with a PowerChute double, and none of the Secrets yet.
pub(crate) const ON_THE_STAGE: &[Step] = &[
    // The host.
    prints("kagiban-exporter --config.check --config.file /etc/kagiban/exporter.yaml", "configuration OK"),
    // What the host of the tests has not is told as critical.
    Step {
        codes: &[0, 1],
        prints: "its files can be replaced, and its commands be run",
        ..run("sudo kagiban-exporter check --config.file=/etc/kagiban/exporter.yaml")
    },
    run("kagiban-exporter discover -o manifests"),
    // Without a configuration it looks at this machine, whatever that has.
    Step { codes: &[0, 1], prints: "kagiban_source_up", ..run("kagiban-exporter --once") },
    prints("kagiban-exporter keystore list /opt/APC/PowerChuteSerialShutdown/Agent/keystore", "securekey"),
    Step { with: STORE, prints: "securekey", ..run("kagiban-exporter keystore list PATH") },
    prints("kagiban-exporter keystore list store.p12 --password-file pw -o json", "\"alias\""),
    filter("curl -s http://HOST:9996/metrics | grep -E '^(x509_file_error|tls_probe_error)'"),
    filter("curl -s http://HOST:9996/metrics | grep -E '^host_shutdown_(trigger|cause|expected)' | grep -v ' 0$'"),
    filter("curl -s http://HOST:9996/metrics | grep -E '^ups_(self_test|battery_replaced)'"),
    filter("curl -s http://HOST:9996/metrics | grep -E '^ups_(status|battery)'"),
    filter("curl -s http://HOST:9996/metrics | grep -E '^ups_battery_(runtime_seconds|charge_ratio)'"),
    filter("curl -s http://HOST:9996/metrics | grep kagiban_blocking_stuck"),
    filter("curl -s http://HOST:9996/metrics | grep kagiban_rotation_agent_error_info"),
    filter("curl -s http://HOST:9996/metrics | grep ups_poll_error"),
    filter("curl -s http://HOST:9996/metrics | grep kagiban_host_api_tls"),
    prints("kagiban-exporter shutdown show --config.file /etc/kagiban/exporter.yaml", "no shutdown has begun"),
    // Nothing is there to clear.
    Step { codes: &[0, 1], ..run("kagiban-exporter shutdown clear --config.file /etc/kagiban/exporter.yaml") },
    prints("upsc UPS@localhost", "ups.status: OL"),
    run("ss -ltnp"),
    // The cluster.
    run("kubectl apply -f crds/managedagentcertificates.kagiban.dev.yaml"),
    Step {
        with: &[("--new-ca host-api-ca", FLEETS_CA), ("--allowed-hosts", CLIENT)],
        ..run(
            "kagiban-operator enroll ups-01.example.com --new-ca host-api-ca --new-issuer fleet-ca --allowed-hosts '*.example.com'",
        )
    },
    run("kubectl create -f fleet-client.yaml -f fleet-ca.yaml"),
    // The host of the tests goes on with its own.
    Step {
        with: &[("/etc/kagiban/exporter.yaml", "proposed.yaml")],
        prints: "clientNames:",
        ..run("kagiban-exporter discover --host ups-01.example.com -o config | sudo tee /etc/kagiban/exporter.yaml")
    },
    Step {
        with: &[("ssh root@ups-01.example.com ", ""), ("mac.yaml", "proposed-mac.yaml")],
        ..run("ssh root@ups-01.example.com kagiban-exporter discover --host ups-01.example.com -o manifests > mac.yaml")
    },
    prints("kagiban-operator plan -f mac.yaml", "ups-01.example.com-powerchute"),
    prints("kagiban-operator explain powerchute-business-edition", "install again or over the server only"),
    prints("kagiban-operator explain apex-one", "list the agents whose certificate is not the server's"),
    prints("kagiban-operator explain skysea", "authentication by certificate fails"),
    run("kubectl apply -f mac.yaml"),
    run("kubectl -n fleet wait --for=condition=Ready mac/ups-01.example.com-powerchute --timeout=5m"),
    prints("kubectl -n fleet get mac", "powerchute-serial-shutdown"),
    run("kubectl -n fleet get mac ups-01.example.com-powerchute -o jsonpath='{.status.leaf.sha256}'"),
    // The same with a CA and a password of one's own.
    Step {
        before: "kubectl delete -f mac.yaml -f fleet-client.yaml -f fleet-ca.yaml; rm -r ups-01.example.com fleet-client.yaml fleet-ca.yaml",
        ..run(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj '/CN=Fleet CA' -keyout fleet-ca.key -out fleet-ca.crt",
        )
    },
    run("kubectl -n fleet create secret tls fleet-ca --cert=fleet-ca.crt --key=fleet-ca.key"),
    Step {
        with: &[("--new-ca host-api-ca", FLEETS_CA), ("--allowed-hosts", CLIENT)],
        ..run("kagiban-operator enroll ups-01.example.com --new-ca host-api-ca --allowed-hosts '*.example.com'")
    },
    run("kubectl create -f fleet-client.yaml"),
    run("kubectl -n fleet create secret generic powerchute-store --from-file=password=store-password.txt"),
    run("kubectl -n fleet label secret fleet-ca kagiban.dev/purpose=issuer"),
    run(
        "kubectl -n fleet annotate secret fleet-ca kagiban.dev/allowed-hosts='*.example.com' kagiban.dev/allowed-clients=fleet-client",
    ),
    run("kubectl -n fleet label secret powerchute-store kagiban.dev/purpose=keystore-password"),
    run(
        "kubectl -n fleet annotate secret powerchute-store kagiban.dev/allowed-hosts='*.example.com' kagiban.dev/allowed-clients=fleet-client",
    ),
    prints(
        "kagiban-operator plan -f examples/quickstart/managedagentcertificate.yaml",
        "ups-01.example.com-powerchute",
    ),
    run("kubectl apply -f examples/quickstart/managedagentcertificate.yaml"),
    Step {
        before: "kubectl -n fleet wait --for=condition=Ready mac/ups-01.example.com-powerchute --timeout=5m",
        prints: "Events:",
        ..run("kubectl -n fleet describe mac ups-01.example.com-powerchute")
    },
    // The second one has what it wants before the first one has ended.
    Step {
        codes: &[0, SIGPIPE],
        prints: "Fingerprint=",
        ..run("openssl s_client -connect ups-01.example.com:6547 </dev/null | openssl x509 -noout -fingerprint -sha256")
    },
    run("kubectl -n fleet get secret fleet-ca -o go-template='{{index .data \"tls.crt\" | base64decode}}' >tls.crt"),
    run("awk '/BEGIN CERTIFICATE/ {pem = \"\"} {pem = pem $0 \"\\n\"} END {printf \"%s\", pem}' tls.crt >rootca.crt"),
    run("kubectl -n fleet create configmap fleet-ca-root --from-file=ca.crt=rootca.crt"),
    run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj '/CN=UPS CA' -addext 'nameConstraints=critical,permitted;DNS:example.com' -keyout ups-ca.key -out ups-ca.crt",
    ),
    run("kubectl -n fleet annotate --overwrite mac ups-01.example.com-powerchute kagiban.dev/rotate=\"$(date)\""),
    Step { with: RESOURCE, ..run("kubectl -n NAMESPACE annotate --overwrite mac NAME kagiban.dev/rotate=\"$(date)\"") },
    Step { with: RESOURCE, prints: "Events:", ..run("kubectl -n NAMESPACE describe mac NAME") },
    prints("kubectl get mac --all-namespaces", "ups-01.example.com-powerchute"),
    prints("kubectl get mac --all-namespaces -o wide", "LEAF"),
    run("kubectl get lease --all-namespaces | grep kagiban-operator"),
    run("kubectl get pods --all-namespaces -l app.kubernetes.io/name=kagiban-operator"),
    Step {
        with: &[("NAMESPACE", "fleet"), ("NAME", "fleet-ca")],
        prints: "notAfter=",
        ..run(
            "kubectl -n NAMESPACE get secret NAME -o jsonpath='{.data.tls\\.crt}' | base64 -d | openssl x509 -noout -enddate",
        )
    },
    Step { with: STATE, prints: "generation ", ..run("kagiban-exporter rotation show AGENT") },
    run("kagiban-operator enroll ups-01.example.com --renew --ca-cert host-api-ca/ca.crt --ca-key host-api-ca/ca.key"),
    Step {
        with: &[("HOST", "ups-01.example.com")],
        ..run("kagiban-operator enroll HOST --renew --ca-cert host-api-ca/ca.crt --ca-key host-api-ca/ca.key")
    },
    Step {
        with: &[("/etc/kagiban", "ups-01.example.com")],
        prints: "notAfter=",
        ..run("openssl x509 -noout -enddate -in /etc/kagiban/host-api.crt")
    },
    run(
        "kagiban-operator enroll --client --renew --allowed-hosts '*.example.com' --ca-cert host-api-ca/ca.crt --ca-key host-api-ca/ca.key",
    ),
    run("kubectl replace -f fleet-client.yaml"),
    // It is not frozen.
    Step { with: STATE, codes: &[1], ..run("kagiban-exporter rotation thaw AGENT") },
    // Beside it.
    run("for file in fleet/*.yaml; do kagiban-operator plan --offline -f \"$file\" || exit ; done"),
    run("kubectl apply -f examples/ci/rbac.yaml"),
    run("kubectl -n fleet create token kagiban-plan --duration=1h"),
    prints("kubectl kustomize examples/gitops/sites/tokyo | kagiban-operator plan --offline -f -", "tokyo"),
    Step {
        before: "kubectl create namespace argocd; kubectl -n argocd create configmap argocd-cm",
        ..run("kubectl -n argocd patch configmap argocd-cm --patch-file examples/gitops/argocd/argocd-cm.yaml")
    },
    Step {
        before: "kubectl create namespace monitoring",
        ..run("kubectl create configmap kagiban-dashboards -n monitoring --from-file=charts/kagiban/dashboards")
    },
    run("kubectl label configmap kagiban-dashboards -n monitoring grafana_dashboard=1"),
    // The way back to a site without a cluster.
    Step { before: "mkdir manifests", ..run("kubectl get mac -A -o yaml > manifests/fleet.yaml") },
    prints("kagiban-operator plan --offline -f manifests", "ups-01.example.com-powerchute"),
    // And away with it.
    run("kubectl delete mac --all --all-namespaces"),
    Step {
        before: "kubectl apply -f examples/operator/",
        // The control plane of the tests has no controller that ends a namespace.
        with: &[("examples/operator/", "examples/operator/ --wait=false")],
        ..run("kubectl delete -f examples/operator/")
    },
    run("kubectl delete -f crds/managedagentcertificates.kagiban.dev.yaml"),
];

/// In a cluster that has nothing of Kagiban.
pub(crate) const HELM: &[Step] = &[
    run("kubectl create namespace fleet"),
    run(
        "helm install kagiban charts/kagiban -n kagiban-system --create-namespace --set imageRegistry=registry.example.com/kagiban --set 'operator.secrets[0].namespace=fleet'",
    ),
    run("helm upgrade kagiban charts/kagiban -n kagiban-system --reuse-values --set operator.handOverTo=site"),
    run("helm uninstall kagiban -n kagiban-system"),
    Step {
        ..run(
            "helm install kagiban charts/kagiban -n fleet --set crds.enabled=false --set operator.namespace=fleet --set 'operator.secrets[0].namespace=fleet'",
        )
    },
    run("kubectl delete crd managedagentcertificates.kagiban.dev"),
];

/// What `by_hand.rs` runs.
const BY_HAND: &[Step] = &[run("(the script of docs/host-api.md)")];

const NO_KUBELET: &str = "the API server of the tests has no nodes, so no pod runs";
const BOOTED: &str = "`tests/packages` runs it on a host that systemd has booted";
const UNIT_BOOTED: &str = "`tests/packages` runs it where systemd has booted a site without a cluster";
const UNIT_ASKED: &str = "it shows a service that `tests/packages` boots; what it logs the operator's own tests say";
const COMMANDS: &str = "the operator's own tests ask a process by each of these commands";
const IN_A_ROOT: &str = "`tests/packages` installs, upgrades and removes them in a root of its own";
const ITSELF: &str = "the suite is what it runs";

const LEFT_OUT: &[Step] = &[
    left_out(
        "sudo /opt/APC/PowerChuteSerialShutdown/jre/bin/keytool -exportcert -rfc -alias root -keystore /opt/APC/PowerChuteSerialShutdown/Agent/keystore -file rootca.crt",
        "the Java of the product is not here; `tests/rotation_e2e.rs` has another keytool read the keystore",
    ),
    left_out(
        "curl -sk -o /dev/null -w '%{http_code}\\n' https://ADDRESS/PATH",
        "no agent of the stage is asked by a path; the exporter's own tests ask a service so",
    ),
    left_out("kubectl -n kagiban-system rollout status deployment/kagiban-operator", NO_KUBELET),
    left_out("kubectl -n NAMESPACE logs deploy/kagiban-operator", NO_KUBELET),
    left_out("kubectl -n kagiban-system port-forward deploy/kagiban-operator 9994", NO_KUBELET),
    left_out(
        "ssh -L 9994:127.0.0.1:9994 MACHINE",
        "it needs another machine; `tests/rotation_e2e.rs` has the pages shown",
    ),
    left_out(
        "kubectl get --raw /api/v1/namespaces/NAMESPACE/pods/POD:9994/proxy/metrics | grep kagiban_operator_",
        NO_KUBELET,
    ),
    left_out("sudo systemctl enable --now kagiban-exporter-host-api", BOOTED),
    left_out(
        "sudo install -o kagiban-operator -m 600 fleet-client.yaml fleet-ca.yaml /etc/kagiban-operator/manifests/",
        UNIT_BOOTED,
    ),
    left_out("sudo install -m 644 mac.yaml /etc/kagiban-operator/manifests/", UNIT_BOOTED),
    left_out("sudo systemctl enable --now kagiban-operator", UNIT_BOOTED),
    left_out("systemctl status SERVICE", BOOTED),
    left_out("ssh HOST systemctl status 'kagiban-exporter*'", BOOTED),
    left_out("journalctl -u kagiban-operator --since -1h | grep manifests", UNIT_ASKED),
    left_out("journalctl -u kagiban-operator -p warning --since -1h", UNIT_ASKED),
    left_out("systemctl status kagiban-operator", UNIT_ASKED),
    left_out("journalctl -u 'kagiban-exporter*' -n 50", BOOTED),
    left_out("journalctl -u 'kagiban-exporter*' | grep 'hardening check fails'", "it needs a PowerChute below systemd"),
    left_out("journalctl -u 'kagiban-exporter*' | grep 'host API'", BOOTED),
    left_out("sudo systemctl disable --now kagiban-exporter", BOOTED),
    left_out("sudo apt install ./target/packages/kagiban-exporter_*_amd64.deb", IN_A_ROOT),
    left_out("sudo dnf install ./target/packages/kagiban-exporter-*.x86_64.rpm", IN_A_ROOT),
    left_out("sudo apt install ./target/packages/kagiban-operator_*_amd64.deb", IN_A_ROOT),
    left_out("sudo apt purge kagiban-exporter", IN_A_ROOT),
    left_out(
        "skopeo copy oci-archive:target/images/kagiban-operator-0.1.0.oci.tar docker://registry.example.com/kagiban/kagiban-operator:0.1.0",
        "it needs a registry; `tests/images.rs` has buildah read the archive",
    ),
    left_out(
        "ansible-playbook --inventory examples/ansible/inventory.yaml examples/ansible/site.yaml",
        "`tests/packages` runs it in a root of its own",
    ),
    left_out(
        "scp ups-01.example.com/host-api.crt ups-01.example.com/host-api.key ups-01.example.com/client-ca.crt root@ups-01.example.com:/etc/kagiban/",
        "it needs another machine",
    ),
    left_out(
        "scp HOST/host-api.crt HOST/host-api.key HOST/client-ca.crt root@HOST:/etc/kagiban/",
        "it needs another machine",
    ),
    left_out("systemd-analyze security kagiban-exporter.service", "`tests/packages` compares what it says"),
    left_out("ipmitool -H BMC chassis power status", "it needs a management controller"),
    left_out(
        "curl -s 'http://PROMETHEUS:9090/api/v1/query?query=up%7Brack%3D%22RACK%22%7D==0'",
        "`tests/outage_pages.rs` has that Prometheus",
    ),
    left_out(
        "kagiban-operator standalone --manifests manifests --secrets secrets --state state",
        "`tests/rotation_e2e.rs` runs it",
    ),
    left_out("sudo kagiban-operator get", COMMANDS),
    left_out("sudo kagiban-operator get -o wide", COMMANDS),
    left_out("sudo kagiban-operator describe ups-01.example.com-powerchute", COMMANDS),
    left_out("sudo kagiban-operator events ups-01.example.com-powerchute", COMMANDS),
    left_out("sudo kagiban-operator wait ups-01.example.com-powerchute --timeout 5m", COMMANDS),
    left_out("sudo kagiban-operator rotate ups-01.example.com-powerchute --as ticket-4711", COMMANDS),
    left_out("sudo kagiban-operator pause ups-01.example.com-powerchute", COMMANDS),
    left_out("sudo kagiban-operator resume ups-01.example.com-powerchute", COMMANDS),
    left_out("sudo kagiban-operator confirm-deletions", COMMANDS),
    left_out("sudo kagiban-operator export > fleet.yaml", "`tests/rotation_e2e.rs` hands a fleet over"),
    left_out("kubectl apply -f fleet.yaml", "`tests/rotation_e2e.rs` hands a fleet over"),
    left_out("make test", ITSELF),
    left_out("cargo test -p kagiban-tests --test rotation_e2e", ITSELF),
    left_out(".ci/run", ITSELF),
    left_out("make demo", "it takes minutes; what it shows is `tests/rotation_e2e.rs`"),
    left_out("make demo ONCE=1", "it takes minutes; what it shows is `tests/rotation_e2e.rs`"),
    left_out("make packages", "`tests/packages` has them made of the program of the tests"),
    left_out("make mutants", "it runs the suite once for each bug"),
    left_out("make fuzz SECONDS=60", "`.ci/run` runs it, for half as long"),
    left_out("make audit", "`.ci/run` runs it"),
    left_out("make test-windows", "`.ci/run` runs it"),
];
