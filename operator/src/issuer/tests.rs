//! The seam, with an issuer that takes its time.

use std::sync::Mutex;

use futures::FutureExt as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use super::*;
use crate::certificate::Authority;
use crate::decide::tests as sample;

/// Says twice that it waits, and then signs; of an order that it has signed it gives the same certificate again.
#[derive(Debug)]
struct Slow {
    authority: Authority,
    asked: Mutex<Vec<(String, u64, String)>>,
}

impl Slow {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        let authority = Authority::read(certificate.as_bytes(), key.serialize_pem().as_bytes(), sample::now());
        Self { authority: authority.expect("a CA"), asked: Mutex::default() }
    }
}

impl Issuer for Arc<Slow> {
    fn kind(&self) -> IssuerKind {
        IssuerKind::CaSecret
    }

    fn secret<'a>(&self, _: &'a IssuerRef) -> Option<&'a str> {
        None
    }

    fn facts<'a>(
        &'a self,
        _: &'a Resource,
        _: &'a PushSpec,
        _: Age,
    ) -> BoxFuture<'a, Result<Option<IssuerFacts>, Obstacle>> {
        async { Ok(None) }.boxed()
    }

    fn ask<'a>(&'a self, order: &'a Order<'a>) -> BoxFuture<'a, Result<IssuerReply, Obstacle>> {
        let known = (order.resource.uid.clone(), order.generation.0, order.csr.to_owned());
        let mut asked = self.asked.lock().expect("no panic");
        asked.push(known.clone());
        let times = asked.iter().filter(|one| **one == known).count();
        let issued = self.authority.sign(&order.key, &order.push.certificate, order.now).expect("signed");
        let answer =
            if times > 2 { IssuerReply::Issued(issued) } else { IssuerReply::Pending("nobody has approved it".into()) };
        async { Ok(answer) }.boxed()
    }

    fn changed<'a>(&'a self, _: &'a Resource, _: &'a PushSpec) -> BoxFuture<'a, ()> {
        async {}.boxed()
    }
}

/// Holds B10, B13: what takes minutes is asked for again until it is there, and then no more.
#[tokio::test]
async fn an_issuer_that_takes_its_time_is_asked_until_it_has_answered_and_its_answer_is_kept() {
    let slow = Arc::new(Slow::new());
    let issuers = Issuers::of(vec![Box::new(slow.clone())]);
    let mut resource = sample::resource();
    let push = sample::push(&mut resource.spec);
    push.certificate.private_key.algorithm = kagiban_crds::resource::KeyAlgorithm::Ecdsa;
    push.certificate.private_key.size = Some(256);
    let push = push.clone();
    let key = KeyPair::generate().expect("a key");
    let csr = CertificateParams::default().serialize_request(&key).expect("a CSR").pem().expect("PEM");
    let ask = async |generation| {
        issuers.certificate((&resource, &push), (Generation(generation), &csr), None, sample::now()).await
    };
    for _ in 0..2 {
        let waits = ask(1).await.expect_err("it waits");
        assert_eq!(waits.by, BlockedBy::IssuerUnavailable);
        assert!(waits.message.ends_with("was asked for the certificate: nobody has approved it"), "{}", waits.message);
    }
    let issued = ask(1).await.expect("it has signed");
    assert_eq!(ask(1).await, Ok(issued.clone()), "the same, as often as its delivery fails");
    assert_eq!(slow.asked.lock().expect("no panic").len(), 3);

    assert!(ask(2).await.is_err(), "another rotation is another order");
    issuers.forget(&resource.namespace, &resource.uid);
    let again = ask(1).await.expect("it knows this order");
    assert_ne!(again.leaf.serial, issued.leaf.serial, "what was delivered or given up is not handed out again");
}
