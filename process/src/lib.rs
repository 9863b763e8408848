//! What kagiban-exporter and kagiban-operator need as processes, whatever they do.

pub mod log_lines;
