//! The documentation as a book: its references are what the code says, its pages stand in order, its links lead somewhere.

mod api;
mod by_hand;
mod commands;
mod configurations;
mod links;
mod metric_names;
mod pages;
mod script;
mod summary;
mod terminal;
mod translations;
