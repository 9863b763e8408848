//! Reads and parses every file of a directory, one after another, and prints how many certificates there were and how much CPU
//! that took, in nanoseconds: what `make bench` holds the exporter against.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "it is a measuring rod")]

use std::fs;
use x509_parser::pem::Pem;

fn main() {
    let directory = std::env::args().nth(1).expect("name a directory");
    let mut certificates = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        for pem in Pem::iter_from_buffer(&bytes) {
            let pem = pem.unwrap();
            let certificate = pem.parse_x509().unwrap();
            // As if somebody wanted to know.
            certificates += usize::from(std::hint::black_box(certificate.validity().not_after).timestamp() != 0);
        }
    }
    let used = fs::read_to_string("/proc/self/schedstat").unwrap();
    println!("{certificates} {}", used.split(' ').next().unwrap());
}
