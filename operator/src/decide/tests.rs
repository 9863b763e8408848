use kagiban_crds::resource::CertificateSpec;
pub(super) fn certificate(duration: &str, renew_before: Option<&str>, percentage: Option<u8>) -> CertificateSpec {
    CertificateSpec {
        dns_names: vec!["ups-01.example.com".into()],
        ip_addresses: Vec::new(),
        duration: duration.parse().expect("a duration"),
        renew_before: renew_before.map(|text| text.parse().expect("a duration")),
        renew_before_percentage: percentage,
        private_key: kagiban_crds::resource::PrivateKeySpec::default(),
    }
}
