//! What is around the content of a page.

use std::fmt::{self, Write};

use crate::Escaped;

/// After the content of `<main>`, which whoever writes a page has begun.
pub const END: &str = "</main></body></html>\n";

/// Up to the beginning of the body.
///
/// # Errors
/// When `out` takes no more.
pub fn begin(out: &mut impl Write, title: &str) -> fmt::Result {
    let title = Escaped(title);
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>{STYLE}</style></head>\n<body>\n",
    )
}

/// Dark where the browser is; on a phone each row of a table is a block, its cells named by `data-head`.
pub const STYLE: &str = "\
:root{--ink:#1b1b1b;--dim:#595959;--paper:#fff;--line:#d9d9d9;--card:#f6f6f6;--bad:#b00020;--soon:#7a4d00;--link:#0b57d0}\
@media(prefers-color-scheme:dark){:root{--ink:#e8e8e8;--dim:#a8a8a8;--paper:#141414;--line:#383838;--card:#1f1f1f;\
--bad:#ff8a80;--soon:#ffcc66;--link:#8ab4f8}}\
*{box-sizing:border-box}\
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:76rem;padding:1.5rem 1rem 3rem;color:var(--ink);\
background:var(--paper)}\
h1{margin:0;font-size:1.7rem;overflow-wrap:anywhere}header p{margin:.1rem 0 .5rem;color:var(--dim)}a{color:var(--link)}\
h2{margin:0 0 .5rem;font-size:1.1rem}\
.alert{background:var(--card);border-left:.3rem solid var(--line);padding:.8rem 1rem;margin:1.2rem 0}\
.alert.bad{border-color:var(--bad)}.alert.soon{border-color:var(--soon)}.alert ul{margin:0;padding-left:1.2rem}\
.alert p{margin:0}li{overflow-wrap:anywhere}\
table{border-collapse:collapse;width:100%;margin:0 0 1.8rem}\
caption{text-align:left;font-weight:600;font-size:1.1rem;padding:.3rem 0}\
th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top;\
overflow-wrap:anywhere}thead th{color:var(--dim);font-weight:500;overflow-wrap:normal}tbody th{font-weight:600}\
td.bad,td.soon,strong.bad,strong.soon{font-weight:600}.bad{color:var(--bad)}.soon{color:var(--soon)}\
.alert.bad,.alert.soon{color:inherit}\
@media(max-width:40rem){table,caption,tbody,tr,th,td{display:block}thead{position:absolute;left:-999rem}\
tr{border-bottom:1px solid var(--line);padding:.5rem 0}th,td{border:0;padding:.1rem 0}\
td:empty{display:none}td::before{content:attr(data-head) \": \";color:var(--dim);font-weight:400}}";
