//! OpenMetrics, which `prometheus-client` writes, as Prometheus's text format. A line is passed on as soon as it is whole: with
//! twenty thousand resources of long names the text is 60 MB.

use std::fmt::{self, Write};

/// For the types that are registered here, the formats differ in two things: OpenMetrics names a counter's family without
/// the `_total` of its samples, and ends with a mark.
#[derive(Debug)]
pub(crate) struct TextFormat<'a, W> {
    out: &'a mut W,
    line: String,
    /// The family's HELP line. The TYPE line, which comes after it, says by which name it goes.
    help: String,
}

impl<'a, W: Write> TextFormat<'a, W> {
    pub(crate) fn to(out: &'a mut W) -> Self {
        Self { out, line: String::new(), help: String::new() }
    }

    fn end_line(&mut self) -> fmt::Result {
        let Self { out, line, help } = self;
        match line.strip_prefix("# ").and_then(|metadata| metadata.split_once(' ')) {
            Some(("HELP", _)) => std::mem::swap(line, help),
            Some(("TYPE", family)) => {
                let counter = family.strip_suffix(" counter\n");
                for metadata in [&*help, &*line] {
                    match counter {
                        Some(name) => out.write_str(&metadata.replacen(name, &format!("{name}_total"), 1))?,
                        None => out.write_str(metadata)?,
                    }
                }
                help.clear();
            }
            _ if line == "# EOF\n" => {}
            _ => out.write_str(line)?,
        }
        line.clear();
        Ok(())
    }
}

impl<W: Write> Write for TextFormat<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive('\n') {
            self.line.push_str(part);
            if part.ends_with('\n') {
                self.end_line()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_announced_by_the_name_of_its_samples() {
        let open_metrics = "# HELP kagiban_rotations Rotations that ended.\n# TYPE kagiban_rotations counter\n\
            kagiban_rotations_total{outcome=\"committed\"} 1\n# HELP leader 1 while it may act.\n# TYPE leader gauge\nleader 1\n\
            # EOF\n";
        let text = "# HELP kagiban_rotations_total Rotations that ended.\n# TYPE kagiban_rotations_total counter\n\
            kagiban_rotations_total{outcome=\"committed\"} 1\n# HELP leader 1 while it may act.\n# TYPE leader gauge\nleader 1\n";
        // Whoever writes it may stop anywhere in a line.
        for length in [1, 2, 7, open_metrics.len()] {
            let mut written = String::new();
            let mut format = TextFormat::to(&mut written);
            for part in open_metrics.as_bytes().chunks(length) {
                format.write_str(str::from_utf8(part).expect("ASCII")).expect("a string takes everything");
            }
            assert_eq!(written, text, "{length}");
        }
    }
}
