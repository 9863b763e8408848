//! docs/host-api.md against the code: every route, every reason of a refusal, and every example body.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kagiban_crds::host_api::{
    AgentReport, ChainDelivery, HandOver, HandOverReport, HostReport, PasswordQuestion, PasswordReport, Refusal,
    RefusalReason, RenewalOrder, RollbackOrder, RotationOpen, RotationReport,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use syn::{Expr, Item, Pat};

const DOCUMENT: &str = include_str!("../../docs/host-api.md");

/// A row of a table, its cells without backticks.
type Row = Vec<String>;

#[test]
fn every_route_is_documented_and_no_other() {
    let documented: BTreeSet<_> =
        table("| method | path |").into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(documented, routes());
    assert!(documented.len() >= 7, "{documented:?}");
}

#[test]
fn every_reason_of_a_refusal_is_documented_with_its_status() {
    let rows = table("| reason | status |");
    let documented: BTreeMap<_, _> = rows.iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(documented.len(), rows.len(), "none stands there twice");
    let reasons = variants("crds/src/host_api.rs", "RefusalReason");
    let known = reasons.iter().map(|variant| {
        let word = snake_case(variant);
        let reason: RefusalReason = serde_json::from_value(word.clone().into()).expect("as it goes over the wire");
        (word, reason.status().to_string())
    });
    assert_eq!(documented, known.collect());
    assert!(rows.iter().all(|row| row[2].len() > 10 && !row[3].is_empty()), "each with its meaning");
}

#[test]
fn every_example_is_what_its_route_takes_or_gives() {
    let examples = examples();
    for (kind, text) in &examples {
        let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{kind}: {error}\n{text}"));
        assert_eq!(again(kind, &value), value, "what is read of it and written again is the same");
    }
    for row in table("| method | path |") {
        for kind in row[2..4].iter().filter(|kind| !kind.is_empty()) {
            assert!(examples.iter().any(|(known, _)| known == kind), "there is no example of a {kind}");
        }
    }
    assert!(examples.iter().any(|(kind, _)| kind == "Refusal"));
}

/// Of the type by that name.
fn again(kind: &str, value: &Value) -> Value {
    fn of<T: DeserializeOwned + Serialize>(value: &Value) -> Value {
        let read: T = serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}\n{value:#}"));
        serde_json::to_value(read).expect("JSON")
    }
    match kind {
        "AgentReport" => of::<AgentReport>(value),
        "ChainDelivery" => of::<ChainDelivery>(value),
        "HandOver" => of::<HandOver>(value),
        "HandOverReport" => of::<HandOverReport>(value),
        "HostReport" => of::<HostReport>(value),
        "PasswordQuestion" => of::<PasswordQuestion>(value),
        "PasswordReport" => of::<PasswordReport>(value),
        "Refusal" => of::<Refusal>(value),
        "RenewalOrder" => of::<RenewalOrder>(value),
        "RollbackOrder" => of::<RollbackOrder>(value),
        "RotationOpen" => of::<RotationOpen>(value),
        "RotationReport" => of::<RotationReport>(value),
        _ => panic!("no example of a {kind} is expected: a new type of the host API is named here, too"),
    }
}

/// The blocks of JSON, each with the type that it says it is.
fn examples() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = DOCUMENT.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.trim_start().strip_prefix("```json") {
            let text: Vec<_> = lines.by_ref().take_while(|line| line.trim() != "```").collect();
            found.push((kind.trim().to_owned(), text.join("\n")));
        }
    }
    found
}

/// The rows of the table that begins with this head.
fn table(head: &str) -> Vec<Row> {
    let rows = DOCUMENT.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
    rows.take_while(|line| line.starts_with('|')).map(cells).collect()
}

/// What [`Route::parse`](../../exporter/src/host_api/route.rs) takes, by its own arms.
fn routes() -> BTreeSet<(String, String)> {
    let file = parsed("exporter/src/host_api/route.rs");
    let functions = file.items.into_iter().filter_map(|item| match item {
        Item::Impl(block) => block.items.into_iter().find_map(|item| match item {
            syn::ImplItem::Fn(function) if function.sig.ident == "parse" => Some(function),
            _ => None,
        }),
        _ => None,
    });
    let mut found = BTreeSet::new();
    for statement in functions.flat_map(|function| function.block.stmts) {
        let syn::Stmt::Local(syn::Local { init: Some(init), .. }) = statement else { continue };
        let Expr::Match(choice) = *init.expr else { continue };
        for arm in choice.arms {
            if let Pat::Slice(parts) = &arm.pat {
                let path = parts.elems.iter().map(|part| format!("/{}", segment(part))).collect();
                found.insert((method(&arm.body), path));
            }
        }
    }
    found
}

fn segment(part: &Pat) -> String {
    match part {
        Pat::Lit(literal) => match &literal.lit {
            syn::Lit::Str(text) => text.value(),
            _ => panic!("a path is made of text"),
        },
        Pat::Ident(name) => match name.ident.to_string().as_str() {
            "VERSION" => kagiban_crds::host_api::VERSION.to_owned(),
            "name" => "{agent}".to_owned(),
            "number" => "{generation}".to_owned(),
            other => panic!("how a part called {other} is documented is not known here"),
        },
        _ => panic!("a part of a path is a word or a name"),
    }
}

/// The last name in the first of a pair, such as `Method::GET`.
fn method(body: &Expr) -> String {
    match body {
        Expr::Tuple(pair) => match pair.elems.first() {
            Some(Expr::Path(path)) => path.path.segments.last().expect("a path has one").ident.to_string(),
            _ => panic!("an arm gives a method first"),
        },
        Expr::Block(block) => match block.block.stmts.as_slice() {
            [syn::Stmt::Expr(inner, _)] => method(inner),
            _ => panic!("an arm gives a pair and does nothing else"),
        },
        _ => panic!("an arm gives a pair"),
    }
}

fn variants(file: &str, name: &str) -> Vec<String> {
    let found = parsed(file).items.into_iter().find_map(|item| match item {
        Item::Enum(found) if found.ident == name => Some(found),
        _ => None,
    });
    found.expect("it is there").variants.into_iter().map(|variant| variant.ident.to_string()).collect()
}

fn snake_case(name: &str) -> String {
    let parts = name.chars().map(|c| if c.is_uppercase() { format!("_{}", c.to_lowercase()) } else { c.to_string() });
    parts.collect::<String>().trim_start_matches('_').to_owned()
}

fn parsed(file: &str) -> syn::File {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    syn::parse_file(&text).expect("it compiles")
}
