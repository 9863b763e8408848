//! Where people read on who have no repository at hand: a host has the program alone.

/// The address of a page or file of the project.
macro_rules! online {
    ($path:literal) => {
        concat!("https://kagiban.dev/", $path)
    };
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    fn sources(directory: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
        entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
    }

    /// Messages and help texts are read on hosts.
    #[test]
    fn what_is_said_names_pages_by_an_address_and_each_is_there() {
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        // What writes and checks the pages names them by their place.
        let is_ours = |path: &PathBuf| !path.ends_with("src/online.rs") && !path.ends_with("documentation.rs");
        let (mut bare, mut gone, mut named) = (Vec::new(), Vec::new(), 0);
        for path in sources(&own.join("src")).iter().filter(|path| is_ours(path)) {
            let text = fs::read_to_string(path).expect("a source");
            let said = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
            for line in said.filter(|line| !line.contains("include_str!") && !line.contains("panic!")) {
                let mut rest = line;
                while let Some((before, after)) = rest.split_once("online!(\"") {
                    let (page, after) = after.split_once('"').expect("it ends");
                    let page = page.split('#').next().unwrap_or_default();
                    gone.extend((!own.join("..").join(page).exists()).then(|| page.to_owned()));
                    named += 1;
                    bare.extend(is_bare(before).then(|| line.to_owned()));
                    rest = after;
                }
                bare.extend(is_bare(rest).then(|| line.to_owned()));
            }
        }
        assert_eq!((bare, gone), (Vec::<String>::new(), Vec::<String>::new()));
        assert!(named >= 7, "{named}");
    }

    fn is_bare(text: &str) -> bool {
        // Packages have the example configuration below /usr/share/doc.
        let text = text.replace("/usr/share/doc/kagiban-exporter/examples/", "");
        text.contains("docs/") || text.contains("examples/")
    }
}
