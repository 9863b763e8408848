//! `kagiban-operator explain PRODUCT`: what is read, changed and stopped for an agent of a product, and what its vendor says. Pure.

use std::fmt::Write as _;
use std::iter;
use std::time::Duration;

use kagiban_agents::{
    AlertFacts, Argument, Bits, Class, ClientFacts, CommandWord, Guide, Installed, Login, Mark, Notice, Os, Problem,
    Product, ProductFacts, Release, ServiceFacts, Tool,
};

use super::table::in_columns;
use crate::advice::DOCUMENTATION;

const SYSTEMS: [(Os, &str); 2] = [(Os::Linux, "Linux"), (Os::Windows, "Windows")];
/// What a product's own facts leave open.
const CONFIGURED: &str = "as the host's configuration says";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MINUTE: Duration = Duration::from_secs(60);
const GAP: usize = 2;

/// What is done for an agent of this product and what its vendor says, for a person.
pub fn explain(product: Product) -> String {
    let mut text = done(product);
    match (&product.facts().notice, product.guide()) {
        (None, None) => {
            section(&mut text, "What the vendor says", vec!["nothing that is kept here as a table".to_owned()]);
        }
        (notice, guide) => {
            notice.iter().for_each(|notice| vendor(&mut text, notice, OF_THE_END));
            guide.iter().for_each(|guide| guided(&mut text, guide));
        }
    }
    text
}

fn done(product: Product) -> String {
    let facts = product.facts();
    let mut text = format!("{product}: {}\n", class(&facts.class));
    for (head, lines) in [
        ("Read", read(facts)),
        ("Changed", changed(facts)),
        ("Stopped meanwhile", stopped(facts)),
        ("Undone", undone(facts)),
    ] {
        section(&mut text, head, lines);
    }
    text
}

/// Nothing where there is no line.
fn section(text: &mut String, head: &str, lines: impl IntoIterator<Item = String>) {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_some() {
        let _ = write!(text, "\n{head}\n");
    }
    for line in lines {
        let _ = writeln!(text, "  {line}");
    }
}

const fn class(class: &Class) -> &'static str {
    match class {
        Class::Push => "its keystore is replaced by one with a certificate of ours (class push)",
        Class::Trigger(_) => "it renews its own certificate when it is told (class trigger)",
        Class::Observe => "it is looked at, and repaired when a person asks (class observe)",
    }
}

fn read(facts: &ProductFacts) -> Vec<String> {
    if let Some(alerts) = &facts.alerts {
        let AlertFacts { time, kind, detail, item, .. } = alerts;
        return vec![
            format!("alert mails, in folders, boxes or files (observe.mails): {time}, {kind}, {detail}, {item}"),
            "logs that were exported as CSV (observe.logs): the same of their rows".to_owned(),
            format!("its version and components, its clients, what a false alert comes of: {CONFIGURED} (observe)"),
        ];
    }
    let mut lines = Vec::new();
    for (os, name) in SYSTEMS {
        lines.extend((facts.directories)(os).iter().map(|directory| format!("directory on {name}: {directory}")));
    }
    let keystores = if facts.keystores.is_empty() { CONFIGURED.to_owned() } else { facts.keystores.join(", ") };
    let alias = facts.alias.map_or_else(String::new, |alias| format!(", entry {alias}"));
    lines.push(format!("keystore: {keystores}{alias}"));
    if let Some(ini) = &facts.password_ini {
        lines.push(format!("its password: {} in [{}] of {}", ini.key, ini.section, ini.file));
    }
    lines.extend(facts.event_log.map(|log| format!("event log: {log}")));
    if let Some(clients) = &facts.clients {
        lines.push(
            "its clients that do not have its certificate, where `clients` stands in the host's configuration"
                .to_owned(),
        );
        lines.extend(usual(facts, "clients.list.command", clients.list));
    }
    if facts.client_log.is_some() {
        lines.push(
            "logs in which its clients tell that they could not authenticate it, exported as CSV, where `clientLogs` stands in the host's \
             configuration"
                .to_owned(),
        );
    }
    match (facts.port, &facts.class) {
        // Where nobody knows of a port, the proof is in its own store
        (None, Class::Trigger(_)) if !facts.keystores.is_empty() => lines.push(
            "what proves a renewal: its keystore, or what is served where the host's configuration names an endpoint"
                .to_owned(),
        ),
        (port, _) => {
            let port = port.map_or_else(|| CONFIGURED.to_owned(), |port| port.to_string());
            lines.push(format!("what is served on its TLS port: {port}"));
        }
    }
    lines
}

fn changed(facts: &ProductFacts) -> Vec<String> {
    let mut lines = match &facts.class {
        Class::Push => {
            vec!["the keystore: key and certificates of its entry. Other entries stay as they are".to_owned()]
        }
        Class::Trigger(renewal) => {
            let mut lines = vec![
                "nothing by Kagiban: the host runs the program under renew.command of its configuration".to_owned(),
            ];
            lines.extend(usual(facts, "renew.command", renewal.renew));
            lines.extend(usual(facts, "renew.backup, before it", renewal.backup));
            lines.push("files under renew.keep are put back as they were before".to_owned());
            lines.extend(facts.clients.map(repaired).into_iter().flatten());
            lines
        }
        Class::Observe => {
            vec![
                "nothing by Kagiban, unless a person asks: then the host runs the program under repair.command of its configuration".to_owned(),
                "that is the vendor's module, or for a while a restart of the system, as somebody has written it there".to_owned(),
                "a person asks by a resource with `repair: {}` and a new value of its annotation kagiban.dev/rotate".to_owned(),
                "it is proven by what is under repair.proof; without that it is told as done, not proven".to_owned(),
                "where it was the module, somebody writes observe.moduleApplied: true afterwards".to_owned(),
            ]
        }
    };
    lines.extend(facts.ca_alias.map(|alias| {
        format!("the keystore: the root of the new certificate, trusted as {alias}, where it is not trusted there yet")
    }));
    if let Some(ini) = &facts.password_ini {
        let shortest = ini.min_password;
        lines.push(format!(
            "{} of {}, with the keystore, where the password is a new one ({shortest} characters at least)",
            ini.key, ini.file
        ));
        lines.extend(ini.backup.map(|backup| format!("a password in {backup}, along with it; none is put there")));
    }
    if !facts.protected.is_empty() {
        lines.push(format!("never removed: {}", facts.protected.join(", ")));
    }
    lines
}

/// What is done to the clients that lack the certificate.
fn repaired(clients: ClientFacts) -> [String; 2] {
    let ClientFacts { certificate, files, .. } = clients;
    [
        "its clients that do not have its certificate: the program under clients.repair.command of the host's configuration is run for each, \
         only on mains and with hours between two attempts, until its list is empty"
            .to_owned(),
        format!("that program is given {{client}}, {{certificate}} ({certificate}), {{files}} ({files}) and {{passwordFile}}"),
    ]
}

fn stopped(facts: &ProductFacts) -> Vec<String> {
    match &facts.class {
        Class::Push => {
            let mut lines = vec![if facts.shuts_host_down {
                "the agent's service. While it is down nobody shuts this host down at a power failure: only on mains"
                    .to_owned()
            } else {
                "the agent's service: only on mains".to_owned()
            }];
            lines.extend(SYSTEMS.iter().map(|(os, name)| format!("on {name}: {}", service((facts.service)(*os)))));
            lines
        }
        Class::Trigger(_) if facts.shuts_host_down => {
            vec![
                "what the program stops. While the agent is down nobody shuts this host down at a power failure: only on mains"
                    .to_owned(),
            ]
        }
        Class::Trigger(_) => vec!["what the program stops. It is run only on mains".to_owned()],
        Class::Observe => vec!["nothing, or what repair.command stops. It is run only on mains".to_owned()],
    }
}

fn service(service: Option<ServiceFacts>) -> String {
    match service {
        Some(ServiceFacts::Name(name)) => format!("the service {name}"),
        Some(ServiceFacts::Commands(commands)) => {
            format!("{}, then {}", commands.stop.join(" "), commands.start.join(" "))
        }
        None => CONFIGURED.to_owned(),
    }
}

fn undone(facts: &ProductFacts) -> Vec<String> {
    match &facts.class {
        Class::Push => vec![
            "the old keystore stays beside the new one until the new certificate was seen live".to_owned(),
            "if it is not, the old one comes back by a rename, and the service is started again".to_owned(),
            format!("{DOCUMENTATION}rotation.md says what happens at each step"),
        ],
        Class::Trigger(renewal) => {
            let mut lines =
                vec!["by the program under renew.back of the host's configuration, where there is one".to_owned()];
            lines.extend(usual(facts, "renew.back", renewal.back));
            lines
        }
        Class::Observe => vec!["a repair is not undone: nothing brings back what a module has changed".to_owned()],
    }
}

/// What is run where the host's configuration names no program, on the systems that the product is for.
fn usual(
    facts: &ProductFacts,
    setting: &str,
    words: fn(Os) -> Option<&'static [CommandWord]>,
) -> impl Iterator<Item = String> {
    let is_there = |(os, _): &&(Os, &str)| !(facts.directories)(*os).is_empty();
    SYSTEMS.iter().filter(is_there).filter_map(move |(os, name)| {
        let words = words(*os)?;
        let seen = words.contains(&CommandWord::Password);
        let warning = if seen { " (others on the machine may see the password while it runs)" } else { "" };
        let words: Vec<_> = words.iter().map(|word| told(*os, *word)).collect();
        Some(format!("by default on {name}, as {setting}: {}{warning}", words.join(" ")))
    })
}

fn told(os: Os, word: CommandWord) -> String {
    match (word, os) {
        (CommandWord::Fixed(word), _) => word.to_owned(),
        (CommandWord::Below(path), Os::Windows) => path.replace('/', r"\"),
        (CommandWord::Below(path), Os::Linux) => path.to_owned(),
        (CommandWord::Password, _) => "{password}".to_owned(),
        (CommandWord::Backup, _) => "{backup}".to_owned(),
        (CommandWord::ClientList, _) => "{list}".to_owned(),
    }
}

/// What stands over the effects that a notice tells of, and over its remedy.
type Heads = [&'static str; 2];
const OF_THE_END: Heads = ["When its certificate has ended", "How a new one is come by"];
const OF_A_FAULT: Heads = ["What stops, and what goes on", "What the vendor says to do"];

fn vendor(text: &mut String, notice: &Notice, [over_effects, over_remedy]: Heads) {
    section(text, "What the vendor says", [notice.title.to_owned(), format!("({})", notice.source)]);
    let effects = notice.when_it_ends.iter().map(|effect| {
        let word = if effect.goes_on { "goes on" } else { "stops" };
        format!("{word}: {}{}", effect.what, only(effect.versions))
    });
    section(text, over_effects, effects);
    let to_check = SYSTEMS.iter().flat_map(|(os, name)| {
        let on_it = notice.to_check.iter().filter(move |checked| checked.on == *os);
        on_it.map(move |checked| format!("on {name}: that of the {}{}", checked.part, only(checked.versions)))
    });
    section(text, "Which certificates are to be checked", to_check);
    let steps = notice.remedy.iter().enumerate().map(|(index, step)| format!("{}. {step}", index + 1));
    section(text, over_remedy, steps);
    if notice.releases.iter().any(|release| !release.marks.is_empty()) {
        section(text, "Which release it is", releases(notice.releases).lines().map(str::to_owned));
    } else {
        section(text, "Which releases it speaks of", notice.releases.iter().map(|release| release.name.to_owned()));
    }
    if !notice.told_after_the_end.is_empty() {
        let places: Vec<_> = notice.told_after_the_end.iter().map(|mark| mark.place()).collect();
        let _ = writeln!(text, "  once the certificate has ended, not in the console but by: {}", places.join(", "));
    }
}

/// A vendor's notice that names directories, programs or faults.
fn guided(text: &mut String, guide: &Guide) {
    vendor(text, &guide.notice, OF_A_FAULT);
    for problem in guide.problems {
        section(text, &format!("Problem {}", problem.name), fault(problem));
    }
    let components = guide.components.iter().map(|component| format!("{}: {}", component.id, component.name));
    section(text, "What a host's configuration calls its components", components);
    let signs = guide.signs.iter().map(|sign| format!("{}: {}", sign.place, sign.text));
    section(text, "What it is known by", signs);
    let directories = guide.directories.iter().map(|directory| {
        let how = match directory.installed {
            Some(Installed::Anew) => ", installed anew",
            Some(Installed::OverOlder) => ", installed over the older product",
            None => "",
        };
        format!("{}{how}: {}", bits(directory.bits), directory.path)
    });
    section(text, "Where it is installed on Windows", directories);
    let delivered = guide.delivered.iter().map(|file| {
        let below = file.below.map_or_else(String::new, |below| format!(r"{below}\"));
        let of = file.bits.map_or_else(String::new, |of| format!(", for {} agents", bits(of)));
        let from = file.from_build.map_or_else(String::new, |build| format!(", from build {build} of the server on"));
        format!("{below}{}{of}{from}", file.name)
    });
    section(text, "What an agent is given from the server's directory", delivered);
    for tool in guide.tools {
        section(text, &program(tool), calls(tool));
    }
    section(text, "Who logs in", guide.login.iter().flat_map(logins));
    for list in guide.lists {
        section(text, list.name, list.items.iter().map(|item| (*item).to_owned()));
    }
    let misprints = guide.misprints.iter().map(|it| format!("printed: {}; meant: {}", it.printed, it.meant));
    section(text, "What the notice prints and cannot mean", misprints);
    section(
        text,
        "What differs from the notice, and what it leaves open",
        guide.differences.iter().map(|difference| (*difference).to_owned()),
    );
}

fn fault(problem: &Problem) -> Vec<String> {
    let mut lines = vec![
        problem.what.to_owned(),
        format!("in {}; no longer in {}", problem.versions.join(", "), problem.mended_in),
        format!("of {}", problem.components.iter().map(|it| it.name).collect::<Vec<_>>().join(", ")),
        format!("in metrics: {}", problem.reason),
    ];
    lines.extend(problem.conditions.iter().map(|condition| format!("only where {condition}")));
    lines.extend(problem.seen_after.map(|seen| {
        let days = seen.uptime.as_secs() / DAY.as_secs();
        format!("seen after about {days} days with {} clients; other sites differ", seen.clients)
    }));
    lines.push(format!("what mends it: {}", problem.remedy));
    lines.extend(problem.meanwhile.map(|step| format!("what helps for a while: {step}")));
    lines
}

const fn bits(bits: Bits) -> &'static str {
    match bits {
        Bits::Bits32 => "32-bit",
        Bits::Bits64 => "64-bit",
    }
}

fn program(tool: &Tool) -> String {
    tool.below.map_or_else(|| tool.program.to_owned(), |below| format!(r"{below}\{}", tool.program))
}

fn calls(tool: &Tool) -> impl Iterator<Item = String> {
    tool.uses.iter().map(|call| {
        let arguments: Vec<_> = call.arguments.iter().map(ToString::to_string).collect();
        let seen = call.arguments.iter().any(|argument| matches!(argument, Argument::Secret(_)));
        let warning = if seen { " (others on the machine may see the password while it runs)" } else { "" };
        format!("{}: {}{warning}", call.what, arguments.join(" "))
    })
}

fn logins(login: &Login) -> [String; 3] {
    let (name, password) = (login.name, login.password);
    [
        format!(
            "a name of {} to {} characters, a password of {} to {}",
            name.least, name.most, password.least, password.most
        ),
        format!("in a password a capital and a small letter, and a digit or one of {}", login.special),
        format!(
            "{} account, {} session at a time, over after {} idle minutes; {} failed attempts lock for {} minutes",
            login.accounts,
            login.sessions,
            login.idle.as_secs() / MINUTE.as_secs(),
            login.attempts,
            login.locked_for.as_secs() / MINUTE.as_secs()
        ),
    ]
}

fn only(versions: &[&str]) -> String {
    if versions.is_empty() { String::new() } else { format!(" (only {})", versions.join(", ")) }
}

fn releases(releases: &[Release]) -> String {
    let mut places: Vec<Mark> = Vec::new();
    for (mark, _) in releases.iter().flat_map(|release| release.marks) {
        if !places.contains(mark) {
            places.push(*mark);
        }
    }
    let head = iter::once(String::new()).chain(releases.iter().map(|release| release.name.to_owned()));
    let lives = releases.iter().map(|release| match release.validity {
        Some(validity) => format!("{} days", validity.as_secs() / DAY.as_secs()),
        None => String::new(),
    });
    let mut rows =
        vec![head.collect::<Vec<_>>(), iter::once("its certificate lives".to_owned()).chain(lives).collect()];
    rows.extend(places.iter().map(|place| {
        let marks = releases.iter().map(|release| {
            let of_it: Vec<_> = release.marks.iter().filter(|(mark, _)| mark == place).map(|(_, text)| *text).collect();
            of_it.join(", ")
        });
        iter::once(place.place().to_owned()).chain(marks).collect()
    }));
    in_columns(&rows, |widest| widest + GAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(id: &str) -> String {
        explain(id.parse().expect("it is explained"))
    }

    #[test]
    fn a_product_with_a_program_of_its_own_is_explained_with_what_is_run_by_default() {
        for id in ["apex-one", "virus-buster-corp"] {
            insta::assert_snapshot!(id, explained(id));
        }
    }

    #[test]
    fn a_product_that_can_only_be_looked_at_is_explained_with_what_is_read_and_who_repairs_it() {
        insta::assert_snapshot!("skysea", explained("skysea"));
    }

    #[test]
    fn a_call_with_a_password_says_who_may_see_it() {
        let text = explained("apex-one");
        for line in text.lines().filter(|line| line.contains(" -e <")) {
            assert_eq!(line.contains("others on the machine may see"), line.contains("-pwd"), "{line}");
        }
        assert!(text.contains("-pwd <unload password>"), "{text}");
    }

    #[test]
    fn a_product_that_renews_itself_is_explained_with_its_vendors_notice() {
        insta::assert_snapshot!(explained("powerchute-business-edition"));
    }

    #[test]
    fn a_product_whose_keystore_is_replaced_is_explained_with_what_stops_meanwhile() {
        insta::assert_snapshot!(explained("powerchute-serial-shutdown"));
    }

    /// It was said of a web server, too.
    #[test]
    fn only_of_an_agent_that_shuts_its_host_down_is_it_said_that_nobody_does() {
        for product in Product::ALL {
            let is_said = explained(product.id()).contains("nobody shuts this host down at a power failure");
            assert_eq!(is_said, product.facts().shuts_host_down, "{product}");
        }
        let text = explained("tls-service");
        assert!(text.contains("  the agent's service: only on mains\n"), "{text}");
        assert!(!text.contains("power failure"), "{text}");
    }

    /// A person finds the section, whatever the product.
    #[test]
    fn every_product_is_explained_in_the_same_order() {
        for product in Product::ALL {
            let text = explained(product.id());
            let at = ["\nRead\n", "\nChanged\n", "\nStopped meanwhile\n", "\nUndone\n", "\nWhat the vendor says\n"]
                .map(|head| text.find(head));
            assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{text}");
        }
        for text in Product::ALL.iter().map(|product| explain(*product)) {
            assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
        }
    }
}
