//! The house: which room knows which. Read from the sources, so that an arrow that runs the wrong way is seen when it is drawn.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kagiban_agents::{Class, Product};
use kagiban_crds::resource;
use syn::visit::{self, Visit};
use syn::{Attribute, File, Item, ItemMacro, ItemMod, ItemUse, Macro, UseTree};

/// A module's names, from its crate's root.
type Module = Vec<String>;

/// Holds "arrows between rooms run one way": a room is a module right below a crate's root.
#[test]
fn no_two_rooms_know_each_other() {
    for krate in CRATES {
        let house = House::read(krate);
        let rooms = house.arrows.iter().filter_map(|(from, to)| Some((from.first()?, to.first()?)));
        let arrows = rooms.filter(|(from, to)| from != to).map(|(from, to)| (vec![from.clone()], vec![to.clone()]));
        let circles = circles(&arrows.collect());
        assert!(circles.is_empty(), "{krate}: {}", told(&circles, &house.arrows));
    }
}

/// A parent names its children, and they may name it.
#[test]
fn no_two_files_know_each_other_but_a_parent_and_its_child() {
    for krate in CRATES {
        let house = House::read(krate);
        let is_related = |from: &Module, to: &Module| from.starts_with(to) || to.starts_with(from);
        let arrows = house.arrows.iter().filter(|(from, to)| !is_related(from, to)).cloned().collect();
        let circles = circles(&arrows);
        assert!(circles.is_empty(), "{krate}: {}", told(&circles, &arrows));
    }
}

/// docs/adding-a-product.md: a product is added without a look at another. Apex One is Virus Buster Corp. by a newer name.
#[test]
fn no_product_knows_another_but_the_one_that_it_succeeds() {
    let files: BTreeSet<String> = Product::ALL.iter().map(|product| product.id().replace('-', "_")).collect();
    let is_product = |module: &Module| module.first().is_some_and(|name| files.contains(name));
    let arrows = House::read("agents").arrows;
    let others = arrows.iter().filter(|(from, to)| is_product(from) && is_product(to) && from.first() != to.first());
    let others: BTreeSet<_> = others.map(|(from, to)| (from[0].as_str(), to[0].as_str())).collect();
    assert_eq!(others, BTreeSet::from([("apex_one", "virus_buster_corp")]));
}

/// ARCHITECTURE.md's table: what each crate may know of ours.
#[test]
fn crates_know_no_more_of_each_other_than_the_architecture_says() {
    for krate in CRATES {
        let manifest = read(&root().join(krate).join("Cargo.toml"));
        let (_, dependencies) = manifest.split_once("\n[dependencies]\n").unwrap_or_default();
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        let ours = dependencies.lines().filter_map(|line| line.strip_prefix("kagiban-"));
        let ours: BTreeSet<&str> = ours.filter_map(|line| line.split(['.', ' ', '=']).next()).collect();
        let may: BTreeSet<&str> =
            KNOWS.iter().find(|(it, _)| it == &krate).expect("in the table").1.iter().copied().collect();
        assert_eq!(ours, may, "{krate}/Cargo.toml");
    }
}

/// What keeps resources is behind one trait, and only its folder knows that it is Kubernetes.
#[test]
fn only_the_clusters_folder_knows_the_types_of_kubernetes() {
    let modules = House::read("operator").foreign.into_iter();
    let elsewhere = modules.filter(|(from, _)| !from.starts_with(&["cluster".to_owned(), "kubernetes".to_owned()]));
    let known: Vec<_> = elsewhere.filter(|(_, krate)| matches!(krate.as_str(), "kube" | "k8s_openapi")).collect();
    assert_eq!(known, []);
}

const CRATES: [&str; 10] =
    ["agents", "crds", "exporter", "files", "html", "keystore", "operator", "process", "service", "serving"];
const KNOWS: [(&str, &[&str]); 10] = [
    ("agents", &[]),
    ("crds", &[]),
    ("exporter", &["agents", "crds", "files", "html", "keystore", "process", "service", "serving"]),
    ("files", &[]),
    ("html", &[]),
    ("keystore", &[]),
    ("operator", &["agents", "crds", "files", "html", "keystore", "process", "service", "serving"]),
    ("process", &["files"]),
    ("service", &["files", "process"]),
    ("serving", &[]),
];

/// Windows' own calls have no safe way. The workspace denies what is unsafe, so that a file says where it is not denied.
#[test]
fn what_is_unsafe_stands_in_one_file_of_a_crate() {
    let (lint, forbidden) = (concat!("unsafe", "_code"), concat!("forbid(unsafe", "_code)"));
    let mut allowing = Vec::new();
    for krate in CRATES.iter().chain(&["tests"]) {
        let allows = |path: &PathBuf| read(path).lines().any(|line| line.contains(lint) && !line.contains(forbidden));
        allowing.extend(rust_files(&root().join(krate)).into_iter().filter(allows));
    }
    let allowing: BTreeSet<_> = allowing.iter().map(|path| path.strip_prefix(root()).expect("below")).collect();
    let may = [
        "exporter/src/platform/windows/sys.rs",
        "files/src/windows/sys.rs",
        "process/src/system/windows/sys.rs",
        "service/src/windows/sys.rs",
    ];
    assert_eq!(allowing, may.map(Path::new).into());
}

/// What the exporter is on one system and not on another stands behind its seam, tests and all.
#[test]
fn only_the_exporters_platform_knows_which_system_it_is_built_for() {
    let sources = root().join("exporter/src");
    let elsewhere = rust_files(&sources).into_iter().filter(|path| !path.starts_with(sources.join("platform")));
    let found = elsewhere.flat_map(|path| {
        let text = read(&path);
        let lines: Vec<_> = text.lines().filter(|line| names_a_system(line)).map(str::to_owned).collect();
        lines.into_iter().map(move |line| format!("{}: {}", path.display(), line.trim()))
    });
    assert_eq!(found.collect::<Vec<_>>(), [""; 0]);
    // The seam itself says it.
    assert!(read(&sources.join("platform/mod.rs")).lines().any(names_a_system));
}

#[test]
fn a_line_that_names_a_system_is_known_by_what_it_says() {
    for line in [
        "#[cfg(windows)]",
        "    #[cfg(all(test, target_os = \"linux\"))]",
        "#![cfg_attr(not(windows), forbid(unsafe_code))]",
        "if cfg!(target_family = \"unix\") {",
        "use std::os::unix::fs::symlink;",
        "    use std::os::windows::fs::MetadataExt as _;",
        "use tokio::signal::unix::signal;",
        "use rustix::io::Errno;",
        "let id = libc::getuid();",
        "use windows_sys::Win32::Foundation::FILETIME;",
        "use schannel::cert_store::CertStore;",
    ] {
        assert!(names_a_system(line), "{line}");
    }
    for line in
        ["#[cfg(test)]", "// on unix, cfg(windows) is not set", "let windows = weekly.windows(2);", "use std::os;"]
    {
        assert!(!names_a_system(line), "{line}");
    }
}

/// Whether a line says of one system what does not hold of every other. A comment may.
fn names_a_system(line: &str) -> bool {
    const CRATES: [&str; 10] = [
        "std::os::",
        "signal::unix",
        "signal::windows",
        "rustix::",
        "libc::",
        "zbus::",
        "listenfd::",
        "windows_sys::",
        "winapi_util::",
        "schannel::",
    ];
    let is_conditional = line.contains("cfg(") || line.contains("cfg!(") || line.contains("cfg_attr(");
    let is_of_system = ["windows", "unix", "target_os", "target_family"].iter().any(|it| line.contains(it));
    !line.trim_start().starts_with("//")
        && (is_conditional && is_of_system || CRATES.iter().any(|krate| line.contains(krate)))
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let (mut files, mut directories) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = directories.pop() {
        let entries = std::fs::read_dir(&directory).expect("a directory").map(|entry| entry.expect("an entry").path());
        for path in entries {
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// The cluster takes each product by the id and the class that the hosts know it by, and no other.
#[test]
fn the_cluster_and_the_hosts_know_the_same_products() {
    let schema: serde_json::Value =
        serde_yaml::from_str(&read(&root().join("crds/managedagentcertificates.kagiban.dev.yaml"))).expect("YAML");
    let product = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/agent/properties/product/enum";
    let ids = schema.pointer(product).and_then(|it| it.as_array()).expect("the ids of products");
    let cluster: BTreeSet<&str> = ids.iter().filter_map(|id| id.as_str()).collect();
    let rotated = Product::ALL.iter().map(|product| {
        let class = match product.facts().class {
            Class::Push => resource::Class::Push,
            Class::Trigger(_) => resource::Class::Trigger,
            Class::Observe => resource::Class::Observe,
        };
        (product.id(), class)
    });
    let rotated: Vec<_> = rotated.collect();
    assert_eq!(cluster, rotated.iter().map(|(id, _)| *id).collect());
    for product in resource::Product::ALL {
        assert!(cluster.contains(product.id()), "{} is in no schema", product.id());
        assert!(rotated.contains(&(product.id(), product.class())), "{} is of another class", product.id());
    }
}

/// The reader below sees what it is to see.
#[test]
fn an_import_is_followed_to_the_module_that_it_comes_from() {
    let files = [
        ("lib.rs", "mod a;\nmod b;\nmod c;\npub use b::Thing;"),
        ("a/mod.rs", "mod inner;\n#[cfg(test)]\nmod tests;\nuse crate::{Thing, c::{self, Other}};"),
        (
            "a/inner.rs",
            "fn f() { log!(\"{}\", super::super::b::SIZE) }\n#[cfg(test)]\nmod tests { use crate::c::Other; }",
        ),
        ("a/tests.rs", "use crate::b::Thing;"),
        ("b.rs", "pub struct Thing;\nfn f(it: crate::c::Other) {}"),
        ("c.rs", "pub struct Other;"),
    ];
    let house = House::of(files.map(|(path, text)| (path.into(), text.to_owned())).into());
    let module = |path: &str| path.split("::").map(str::to_owned).collect::<Module>();
    let expected = [("a", "b"), ("a", "c"), ("a::inner", "b"), ("b", "c")].map(|(a, b)| (module(a), module(b)));
    let found: BTreeSet<_> = house.arrows.into_iter().filter(|(from, to)| !from.is_empty() && !to.is_empty()).collect();
    assert_eq!(found, BTreeSet::from(expected));
    assert_eq!(circles(&found), Vec::<BTreeSet<Module>>::new());
    let both = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")].map(|(a, b)| (module(a), module(b)));
    assert_eq!(circles(&both.into()), [["a", "b", "c"].map(module).into()]);
}

/// The modules of one crate, one to a file, and which of them names which.
struct House {
    arrows: BTreeSet<(Module, Module)>,
    /// What paths of each file start with that leads elsewhere: names of other crates among them.
    foreign: BTreeSet<(Module, String)>,
}

impl House {
    fn read(krate: &str) -> Self {
        let source = root().join(krate).join("src");
        let mut files = BTreeMap::new();
        let mut directories = vec![source.clone()];
        while let Some(directory) = directories.pop() {
            for entry in
                std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
            {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    directories.push(path);
                } else if path.extension().is_some_and(|it| it == "rs") {
                    let below = path.strip_prefix(&source).expect("below").to_owned();
                    files.insert(below, read(&path));
                }
            }
        }
        // A program of its own beside the library knows it, and nobody knows it.
        files.retain(|path, _| !path.starts_with("bin") && path != Path::new("main.rs"));
        assert!(!files.is_empty(), "{krate} has no sources");
        Self::of(files)
    }

    fn of(files: BTreeMap<PathBuf, String>) -> Self {
        let parse = |(path, text): (PathBuf, String)| {
            let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (module_of(&path), file)
        };
        let mut modules: BTreeMap<Module, File> = files.into_iter().map(parse).collect();
        let of_tests: Vec<Module> = modules.iter().flat_map(|(at, file)| test_modules(at, file)).collect();
        modules.retain(|at, _| !of_tests.iter().any(|tests| at.starts_with(tests)));
        let read: Vec<_> = modules.iter().map(|(at, file)| (at.clone(), Named::of(at, file))).collect();
        let foreign =
            read.iter().flat_map(|(at, named)| named.foreign.iter().map(|name| (at.clone(), name.clone()))).collect();
        let named = read.into_iter().map(|(at, named)| (at, named.paths)).collect();
        let exported = modules.iter().map(|(at, file)| (at.clone(), exports(at, file))).collect();
        Self { arrows: Resolver { named, exported }.arrows(), foreign }
    }
}

/// From names to the files that they come from.
struct Resolver {
    /// What each module names, from the root.
    named: BTreeMap<Module, BTreeSet<Module>>,
    /// What each module hands on under a name of its own.
    exported: BTreeMap<Module, BTreeMap<String, Module>>,
}

impl Resolver {
    fn arrows(&self) -> BTreeSet<(Module, Module)> {
        let arrows = self.named.iter().flat_map(|(from, paths)| {
            paths.iter().map(move |path| (from.clone(), self.home(path, 0))).filter(|(from, to)| from != to)
        });
        arrows.collect()
    }

    /// The module that what `path` names stands in, through those that only hand it on.
    fn home(&self, path: &[String], depth: usize) -> Module {
        const DEEPEST: usize = 8;
        let known = (0..=path.len()).rev().find(|&end| self.named.contains_key(&path[..end])).unwrap_or_default();
        let (module, rest) = path.split_at(known);
        let handed_on = rest.first().and_then(|name| self.exported.get(module)?.get(name));
        match handed_on {
            Some(target) if depth < DEEPEST => self.home(target, depth + 1),
            _ => module.to_vec(),
        }
    }
}

/// All paths of a file that start at its crate's root, at its parent or at itself, but those of its tests.
struct Named {
    /// Inline modules of the file are below it.
    at: Module,
    paths: BTreeSet<Module>,
    foreign: BTreeSet<String>,
}

impl Named {
    fn of(at: &[String], file: &File) -> Self {
        let mut named = Self { at: at.to_vec(), paths: BTreeSet::new(), foreign: BTreeSet::new() };
        named.visit_file(file);
        named
    }

    fn note(&mut self, path: &[String]) {
        match absolute(&self.at, path) {
            Some(path) => drop(self.paths.insert(path)),
            None => self.foreign.extend(path.first().cloned()),
        }
    }
}

impl Visit<'_> for Named {
    fn visit_item(&mut self, item: &Item) {
        let attributes: &[Attribute] = match item {
            Item::Mod(it) => &it.attrs,
            Item::Use(it) => &it.attrs,
            Item::Fn(it) => &it.attrs,
            Item::Impl(it) => &it.attrs,
            Item::Struct(it) => &it.attrs,
            Item::Const(it) => &it.attrs,
            _ => &[],
        };
        if !is_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &ItemMod) {
        self.at.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.at.pop();
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        leaves(&item.tree).iter().for_each(|leaf| self.note(&leaf.path));
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.note(&names);
        visit::visit_path(self, path);
    }

    fn visit_item_macro(&mut self, item: &ItemMacro) {
        self.visit_macro(&item.mac);
    }

    /// Macros are not expanded: what looks like a path in them is one.
    fn visit_macro(&mut self, mac: &Macro) {
        let text = mac.tokens.to_string().replace(" :: ", "::");
        for word in text.split(|c: char| !(c.is_alphanumeric() || matches!(c, ':' | '_'))) {
            let names: Vec<_> = word.split("::").map(str::to_owned).collect();
            self.note(&names);
        }
    }
}

/// From the root; none for a path that starts elsewhere.
fn absolute(at: &[String], path: &[String]) -> Option<Module> {
    let (first, rest) = path.split_first().filter(|(_, rest)| !rest.is_empty())?;
    let ups = rest.iter().take_while(|name| *name == "super").count();
    let base = match first.as_str() {
        "crate" => &[],
        "self" => at.get(..at.len().checked_sub(ups)?)?,
        "super" => at.get(..at.len().checked_sub(ups + 1)?)?,
        _ => return None,
    };
    Some([base, &rest[ups..]].concat())
}

/// What a file imports, by the name that it has there.
fn exports(at: &[String], file: &File) -> BTreeMap<String, Module> {
    let uses = file.items.iter().filter_map(|item| match item {
        Item::Use(item) if !is_for_tests(&item.attrs) => Some(leaves(&item.tree)),
        _ => None,
    });
    let target = |leaf: &Leaf| match absolute(at, &leaf.path) {
        Some(path) => path,
        // A child's, which an import names without `self`.
        None => [at, &leaf.path].concat(),
    };
    uses.flatten().map(|leaf| (leaf.name.clone(), target(&leaf))).collect()
}

/// One name that an import brings.
struct Leaf {
    name: String,
    path: Vec<String>,
}

fn leaves(tree: &UseTree) -> Vec<Leaf> {
    match tree {
        UseTree::Path(path) => {
            let first = path.ident.to_string();
            let with_first = |leaf: Leaf| match leaf.name.as_str() {
                // `a::{self}` brings `a`.
                "self" => Leaf { name: first.clone(), path: vec![first.clone()] },
                _ => Leaf { path: [vec![first.clone()], leaf.path].concat(), ..leaf },
            };
            leaves(&path.tree).into_iter().map(with_first).collect()
        }
        UseTree::Name(name) => vec![Leaf { name: name.ident.to_string(), path: vec![name.ident.to_string()] }],
        UseTree::Rename(it) => vec![Leaf { name: it.rename.to_string(), path: vec![it.ident.to_string()] }],
        UseTree::Glob(_) => vec![Leaf { name: "*".into(), path: vec!["*".into()] }],
        UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
    }
}

/// The modules in files of their own that are compiled for tests only.
fn test_modules(at: &[String], file: &File) -> Vec<Module> {
    let modules = file.items.iter().filter_map(|item| match item {
        Item::Mod(it) if it.content.is_none() && is_for_tests(&it.attrs) => Some(it.ident.to_string()),
        _ => None,
    });
    modules.map(|name| [at, &[name]].concat()).collect()
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .any(|it| it.path().is_ident("cfg") && it.parse_args::<syn::Path>().is_ok_and(|it| it.is_ident("test")))
}

/// Sets of modules each of which leads to every other.
fn circles(arrows: &BTreeSet<(Module, Module)>) -> Vec<BTreeSet<Module>> {
    let reached_from = |start: &Module| {
        let (mut reached, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(at) = next.pop() {
            let further = arrows.iter().filter(|(from, _)| from == at).map(|(_, to)| to);
            next.extend(further.filter(|to| reached.insert((*to).clone())));
        }
        reached
    };
    let starts: BTreeSet<&Module> = arrows.iter().map(|(from, _)| from).collect();
    let reached: BTreeMap<&Module, BTreeSet<Module>> =
        starts.iter().map(|start| (*start, reached_from(start))).collect();
    let circle_of = |start: &Module| -> BTreeSet<Module> {
        reached[start].iter().filter(|to| reached.get(to).is_some_and(|back| back.contains(start))).cloned().collect()
    };
    let circles: BTreeSet<_> = starts.into_iter().map(circle_of).filter(|circle| !circle.is_empty()).collect();
    circles.into_iter().collect()
}

/// The arrows within circles, of rooms or of files.
fn told(circles: &[BTreeSet<Module>], arrows: &BTreeSet<(Module, Module)>) -> String {
    let circle_of = |module: &Module| circles.iter().position(|circle| circle.iter().any(|it| module.starts_with(it)));
    let is_within = |(from, to): &&(Module, Module)| {
        let circle = circle_of(from).filter(|circle| circle_of(to) == Some(*circle));
        circle.is_some_and(|circle| !circles[circle].iter().any(|it| from.starts_with(it) && to.starts_with(it)))
    };
    arrows
        .iter()
        .filter(is_within)
        .map(|(from, to)| format!("\n  {} knows {}", from.join("::"), to.join("::")))
        .collect()
}

fn module_of(path: &Path) -> Module {
    let mut names: Module = path.with_extension("").iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if names.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib")) {
        names.pop();
    }
    names
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
