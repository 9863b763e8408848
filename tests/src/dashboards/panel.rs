//! What a dashboard consists of. Whatever Grafana wants to know beyond that is the same for all of them, and stands in `grafana`.

/// From which value on a colour holds; the first has none.
pub type Steps = &'static [(&'static str, Option<f64>)];
/// A value, what is written for it, and its colour.
pub type Words = &'static [(&'static str, &'static str, &'static str)];
/// Panels with a title above them.
pub type Rows = Vec<Row>;

#[derive(Clone, Debug)]
pub struct Dashboard {
    /// Of its file, and with `kagiban-` before it its identity in Grafana: links name it.
    pub name: &'static str,
    pub title: &'static str,
    /// What it is for, in one sentence.
    pub about: &'static str,
    /// How far it looks back at first.
    pub from: &'static str,
    pub variables: Vec<Variable>,
    pub annotations: Vec<Annotation>,
    pub rows: Rows,
}

impl Dashboard {
    pub fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.rows.iter().flat_map(|row| &row.panels)
    }
}

#[derive(Clone, Debug)]
pub struct Variable {
    pub name: &'static str,
    pub label: &'static str,
    /// A query of Grafana's: `label_values(SELECTOR, LABEL)`.
    pub query: String,
    /// What of a value counts: the first group.
    pub regex: &'static str,
    /// Whether several can be chosen, and all are at first.
    pub many: bool,
}

/// A moment that stands as a line across every panel: the value is the time, in milliseconds.
#[derive(Clone, Debug)]
pub struct Annotation {
    pub name: &'static str,
    pub query: String,
    pub text: &'static str,
    pub colour: &'static str,
}

#[derive(Clone, Debug)]
pub struct Row {
    pub title: &'static str,
    pub panels: Vec<Panel>,
}

#[derive(Clone, Debug)]
pub struct Panel {
    pub title: &'static str,
    /// The question that it answers; it is also its description in Grafana.
    pub answers: &'static str,
    pub view: View,
    pub queries: Vec<Query>,
    /// One of Grafana's units.
    pub unit: &'static str,
    pub steps: Steps,
    pub words: Words,
    /// Of 24 columns, and in units of 30 pixels.
    pub size: [u32; 2],
}

#[derive(Clone, Debug)]
pub struct Query {
    /// Without what only makes a zero of nothing.
    pub expression: String,
    pub legend: &'static str,
    /// Nothing is shown as zero.
    pub or_zero: bool,
}

#[derive(Clone, Debug)]
pub enum View {
    /// One number, or one for each series.
    Stat,
    /// One bar for each series.
    Gauge,
    Lines,
    /// Lines that go from value to value without a slope, added up.
    Stacked,
    /// One band for each series, coloured by its value.
    States,
    /// Bars over dates: the label of this name is a time in milliseconds.
    Dates(&'static str),
    /// One line for each set of labels that the queries share.
    Table {
        columns: Vec<Column>,
        first: (&'static str, bool),
    },
}

/// A column of a table: a label, or `Value` and, where there are several queries, the query's letter.
#[derive(Clone, Debug)]
pub struct Column {
    pub field: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    pub steps: Steps,
    pub words: Words,
    /// It leads to the dashboard of the host that it names.
    pub leads_to_host: bool,
    pub hidden: bool,
}

impl Column {
    pub const fn new(field: &'static str, title: &'static str) -> Self {
        Self { field, title, unit: "none", steps: &[], words: &[], leads_to_host: false, hidden: false }
    }

    /// The value of a query that is there for its labels.
    pub const fn hidden(field: &'static str) -> Self {
        Self { hidden: true, ..Self::new(field, field) }
    }

    pub const fn unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }

    pub const fn steps(self, steps: Steps) -> Self {
        Self { steps, ..self }
    }

    pub const fn words(self, words: Words) -> Self {
        Self { words, ..self }
    }

    pub const fn leads_to_host(self) -> Self {
        Self { leads_to_host: true, ..self }
    }
}

impl Panel {
    fn new(title: &'static str, answers: &'static str, view: View, unit: &'static str, size: [u32; 2]) -> Self {
        Self { title, answers, view, queries: Vec::new(), unit, steps: super::PLAIN, words: &[], size }
    }

    pub fn stat(title: &'static str, answers: &'static str, unit: &'static str) -> Self {
        Self::new(title, answers, View::Stat, unit, [4, 4])
    }

    pub fn gauge(title: &'static str, answers: &'static str, unit: &'static str) -> Self {
        Self::new(title, answers, View::Gauge, unit, [8, 8])
    }

    pub fn lines(title: &'static str, answers: &'static str, unit: &'static str) -> Self {
        Self::new(title, answers, View::Lines, unit, [12, 8])
    }

    pub fn stacked(title: &'static str, answers: &'static str, unit: &'static str) -> Self {
        Self::new(title, answers, View::Stacked, unit, [12, 8])
    }

    pub fn states(title: &'static str, answers: &'static str, words: Words) -> Self {
        Self { words, ..Self::new(title, answers, View::States, "none", [24, 6]) }
    }

    pub fn dates(title: &'static str, answers: &'static str, label: &'static str) -> Self {
        Self::new(title, answers, View::Dates(label), "none", [12, 8])
    }

    /// Sorted by the column of this title, in descending order or not.
    pub fn table(
        title: &'static str,
        answers: &'static str,
        first: (&'static str, bool),
        columns: Vec<Column>,
    ) -> Self {
        Self::new(title, answers, View::Table { columns, first }, "none", [24, 9])
    }

    pub fn query(mut self, expression: impl Into<String>, legend: &'static str) -> Self {
        self.queries.push(Query { expression: expression.into(), legend, or_zero: false });
        self
    }

    /// As `query`, and nothing is zero.
    pub fn count(mut self, expression: impl Into<String>, legend: &'static str) -> Self {
        self.queries.push(Query { expression: expression.into(), legend, or_zero: true });
        self
    }

    pub const fn steps(mut self, steps: Steps) -> Self {
        self.steps = steps;
        self
    }

    pub const fn words(mut self, words: Words) -> Self {
        self.words = words;
        self
    }

    pub const fn size(mut self, width: u32, height: u32) -> Self {
        self.size = [width, height];
        self
    }
}
