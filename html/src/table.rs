//! Tables whose first column names their rows.

use std::fmt::{self, Display, Write};

use crate::Escaped;

/// How bad something is, by the colour that repeats it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Emphasis {
    Bad,
    Soon,
    #[default]
    Plain,
}

impl Emphasis {
    /// Of our own style.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Soon => "soon",
            Self::Plain => "",
        }
    }
}

/// One cell of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    mark: Emphasis,
    text: String,
    link: Option<String>,
}

impl Cell {
    pub fn of(text: impl Display) -> Self {
        Self::marked(Emphasis::Plain, text)
    }

    pub fn marked(mark: impl Into<Emphasis>, text: impl Display) -> Self {
        Self { mark: mark.into(), text: text.to_string(), link: None }
    }

    /// Its text leads there.
    pub fn linked(self, to: impl Into<String>) -> Self {
        Self { link: Some(to.into()), ..self }
    }
}

impl Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Escaped(&self.text);
        match &self.link {
            Some(link) => write!(f, "<a href=\"{}\">{text}</a>", Escaped(link)),
            None => Display::fmt(&text, f),
        }
    }
}

/// A table that is being written.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a, Head> {
    heads: &'a [Head],
}

impl<'a, Head: AsRef<str>> Table<'a, Head> {
    /// With the title and the heads of its columns.
    ///
    /// # Errors
    /// When `out` takes no more; likewise below.
    pub fn begin(out: &mut impl Write, title: &str, heads: &'a [Head]) -> Result<Self, fmt::Error> {
        write!(out, "<table>\n<caption>{}</caption>\n<thead><tr>", Escaped(title))?;
        heads.iter().try_for_each(|head| write!(out, "<th scope=\"col\">{}</th>", Escaped(head.as_ref())))?;
        out.write_str("</tr></thead>\n<tbody>\n")?;
        Ok(Self { heads })
    }

    /// As many cells as there are heads.
    pub fn row(&self, out: &mut impl Write, cells: &[Cell]) -> fmt::Result {
        out.write_str("<tr>")?;
        for (index, (head, cell)) in self.heads.iter().zip(cells).enumerate() {
            let head = Escaped(head.as_ref());
            match (index, cell.mark.class()) {
                (0, _) => write!(out, "<th scope=\"row\">{cell}</th>")?,
                (_, "") => write!(out, "<td data-head=\"{head}\">{cell}</td>")?,
                (_, class) => write!(out, "<td data-head=\"{head}\" class=\"{class}\">{cell}</td>")?,
            }
        }
        out.write_str("</tr>\n")
    }

    pub fn end(self, out: &mut impl Write) -> fmt::Result {
        out.write_str("</tbody></table>\n")
    }
}
