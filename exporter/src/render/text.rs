//! From OpenMetrics to the older text format, version 0.0.4.
//!
//! They differ in the names of counters, in two types that the older one lacks, and in lines that it does not know.

/// Rewrites an exposition of ours; samples stay as they are, because ours already carry their suffixes.
pub(super) fn from_open_metrics(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(words) = line.strip_prefix("# HELP ") {
            // Its name depends on the type, which comes after it.
            help = words.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|words| words.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                _ => ("", kind),
            };
            if let Some((_, text)) = help.take().filter(|(of, _)| *of == name) {
                out.extend(["# HELP ", name, suffix, " ", text, "\n"]);
            }
            out.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with("# ") {
            out.extend([line, "\n"]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_infos_and_unknowns_take_the_older_names_and_types() {
        let open_metrics = "# HELP a Of a.\n# TYPE a counter\n# UNIT a seconds\na_total{x=\"# TYPE\"} 1\n\
            # HELP b Of b.\n# TYPE b info\nb_info 1\n# HELP c Of c.\n# TYPE c unknown\nc 1\n# HELP d Of d.\n# TYPE d gauge\nd 1.5\n# EOF\n";
        let text = "# HELP a_total Of a.\n# TYPE a_total counter\na_total{x=\"# TYPE\"} 1\n\
            # HELP b_info Of b.\n# TYPE b_info gauge\nb_info 1\n# HELP c Of c.\n# TYPE c untyped\nc 1\n# HELP d Of d.\n# TYPE d gauge\nd 1.5\n";
        assert_eq!(from_open_metrics(open_metrics), text);
    }
}
