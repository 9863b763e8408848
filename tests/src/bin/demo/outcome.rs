//! The table that the demo of the products ends with.

/// What was seen of a product, from before anything was done to the end.
pub(crate) struct Outcome {
    pub(crate) product: &'static str,
    pub(crate) found: String,
    pub(crate) affected: String,
    pub(crate) repaired: String,
    pub(crate) proof: String,
}

/// With a column for each heading, as wide as it has to be.
pub(crate) fn table(outcomes: &[Outcome]) -> Vec<String> {
    let heading = ["product", "found", "affected", "repaired", "proof"].map(str::to_owned);
    let row = |it: &Outcome| {
        [it.product.to_owned(), it.found.clone(), it.affected.clone(), it.repaired.clone(), it.proof.clone()]
    };
    let rows: Vec<_> = std::iter::once(heading).chain(outcomes.iter().map(row)).collect();
    let widths: [usize; 5] =
        std::array::from_fn(|n| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or_default());
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
