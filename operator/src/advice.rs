//! What to do about each word of `blockedBy`: for the page of the fleet, and for docs/operator.md, whose table is written from here.

use kagiban_crds::resource::BlockedBy;

/// Where people read on who have no repository at hand. What an advice links to stands below it.
pub(crate) const DOCUMENTATION: &str = "https://kagiban.dev/docs/";

/// In Markdown, of which it has code, and links as docs/operator.md has them.
pub(crate) const fn advice(by: BlockedBy) -> &'static str {
    match by {
        BlockedBy::Paused => {
            "set `spec.rotation.paused` to false, or where it is paused by hand, `kagiban-operator resume`"
        }
        BlockedBy::HostUnreachable | BlockedBy::HostBusy => {
            "nothing at first: it is tried again. The message says what was tried"
        }
        BlockedBy::HostRefused | BlockedBy::HostAnswerRefused | BlockedBy::WrongHost => {
            "read the message: host and resource disagree, or their certificates do: who answers does not chain to `ca.crt` or has \
             another name (`WrongHost`), or takes no client certificate of ours (`HostRefused`); the agent there is another product \
             (`WrongHost`); one of its commands cannot be run, or its keystore is not taken; it obeys another \
             installation ([Another operator](operator.md#another-operator)), or its clock and ours are far apart (`HostRefused`)"
        }
        BlockedBy::SpecInvalid => {
            "mend the resource. One that cannot be read at all has no `blockedBy`: its conditions say `Unreadable`"
        }
        BlockedBy::Frozen | BlockedBy::RotationStuck => {
            "look at the host: `kagiban-exporter rotation show AGENT` there, then [rotation.md](rotation.md)"
        }
        BlockedBy::OnBattery | BlockedBy::LowBattery | BlockedBy::ShutdownPending | BlockedBy::PowerUnknown => {
            "wait for mains and for the end of the shutdown, or clear on the host one that is over ([shutdown.md](shutdown.md)); for \
             `PowerUnknown` name every UPS under `ups:` in the host's configuration, or `power: {assume: mains}` \
             ([exporter.yaml](../examples/exporter.yaml))"
        }
        BlockedBy::ClockSkew => "set the clocks right",
        BlockedBy::IssuerUnavailable | BlockedBy::SecretUnavailable => {
            "create, label or mend the Secret. Clients must be able to accept what the CA signs: no extended key usage without \
             `serverAuth`, no critical extension that they do not know, and in `tls.crt` each certificate is signed by the next. It \
             is looked at again within seconds, or, where thousands of Secrets are missing, within a minute. Where the message says \
             that it could not be read, the API server has not given it for five minutes: see what it answers"
        }
        BlockedBy::IssuerRefused => {
            "the CA's name constraints forbid a name of the spec, or the subject of the leaf (`certificate.subject`, then `CN=`, the first of `dnsNames`)"
        }
        BlockedBy::IssuerEnding => "renew the CA. The message says when the leaf is renewed once more without that",
        BlockedBy::NotGranted => "annotate the Secret, or allow the address ([security.md](security.md))",
        BlockedBy::Conflict => {
            "another resource owns this agent: delete one of them. One that is deleted, or that the host refuses, owns nothing. One \
             that was verified owns it while its URL and client Secret are those it was verified with (`status.leaf.verifiedUrl`, \
             `verifiedClient`), its host being down or not; of two such, the one whose own rotation issued the leaf. Where the spec \
             was changed to another address or Secret, perhaps by mistake, its own namespace stands back until another host answers \
             there. The owner is named within its namespace only"
        }
        BlockedBy::BackingOff => {
            "the last rotation failed, for the reason in the events; the next one waits, and never past the expiry"
        }
        BlockedBy::HandedOver => {
            "the host was given to another installation: delete the resource here once that one shows it as Ready with nothing \
             under BLOCKED-BY ([Another operator](operator.md#another-operator))"
        }
        BlockedBy::DriftRecurs => {
            "something on the host puts another leaf back; end that, then set a new value of `kagiban.dev/rotate`"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::decide::Reason;

    const MARKS: [&str; 2] = ["<!-- blockedBy: written by make docs -->\n", "<!-- end of blockedBy -->\n"];

    /// In the order of the table, those with the same advice beside each other.
    const ALL: [BlockedBy; 23] = [
        BlockedBy::Paused,
        BlockedBy::HandedOver,
        BlockedBy::HostUnreachable,
        BlockedBy::HostBusy,
        BlockedBy::HostRefused,
        BlockedBy::HostAnswerRefused,
        BlockedBy::WrongHost,
        BlockedBy::SpecInvalid,
        BlockedBy::Frozen,
        BlockedBy::RotationStuck,
        BlockedBy::OnBattery,
        BlockedBy::LowBattery,
        BlockedBy::ShutdownPending,
        BlockedBy::PowerUnknown,
        BlockedBy::ClockSkew,
        BlockedBy::IssuerUnavailable,
        BlockedBy::SecretUnavailable,
        BlockedBy::IssuerRefused,
        BlockedBy::IssuerEnding,
        BlockedBy::NotGranted,
        BlockedBy::Conflict,
        BlockedBy::BackingOff,
        BlockedBy::DriftRecurs,
    ];

    #[test]
    fn the_documentation_of_every_word_is_what_the_page_says() {
        let mut table = "\n| word | what to do |\n|---|---|\n".to_owned();
        for together in ALL.chunk_by(|one, other| advice(*one) == advice(*other)) {
            let words: Vec<_> = together.iter().map(|by| format!("`{}`", Reason::Blocked(*by).as_str())).collect();
            writeln!(table, "| {} | {} |", words.join(", "), advice(together[0])).expect("a string");
        }
        kagiban_docs::check_part("docs/operator.md", MARKS, &table).unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// The schema knows them all.
    #[test]
    fn every_word_has_its_row() {
        let crd = serde_json::to_value(kagiban_crds::resource::crd()).expect("JSON");
        let path = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/blockedBy/enum";
        let known = crd.pointer(path).and_then(|known| known.as_array()).expect("the words");
        let known: Vec<_> = known.iter().filter_map(|word| word.as_str()).collect();
        let told: Vec<_> = ALL.iter().map(|by| Reason::Blocked(*by).as_str()).collect();
        assert!(known.iter().all(|word| told.contains(word)) && known.len() == told.len(), "{known:?}");
    }
}
