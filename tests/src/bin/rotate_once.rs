//! One rotation from beginning to end in one thread, or the recovery of one, through the exporter's own machine: a sweep
//! that counts system calls needs them always in the same order.
//!
//! `rotate_once CONFIG rotate CA.crt CA.key`, `rotate_once CONFIG renew`, `rotate_once CONFIG undo`, `rotate_once CONFIG hand-over FROM TO` or `rotate_once
//! CONFIG recover`; prints how it ended as JSON.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use kagiban_crds::host_api::{
    CertificateRequest, ChainDelivery, HandOver, KeyRequest, KeystoreOrder, Refusal, RenewalOrder, RollbackOrder,
    RotationOpen, Target,
};
use kagiban_crds::{CertificateSubject, Epoch, Generation, Lineage};
use kagiban_exporter::config;
use kagiban_exporter::platform::command_process;
use kagiban_exporter::rotation::agent::Agent;
use kagiban_exporter::rotation::{Host, PowerGate, Rotator, StateDirectory};
use kagiban_tests::pki::Authority;
use serde_json::{Value, json};

fn main() -> Result<ExitCode> {
    // It runs the agent's commands as the exporter does.
    if let Some(ended) = command_process(std::env::args_os().skip(1)) {
        return Ok(ended);
    }
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(carry_out(arguments))?;
    writeln!(io::stdout(), "{ended}")?;
    Ok(ExitCode::SUCCESS)
}

/// What is done after the recovery.
enum Order {
    None,
    Rotate(Box<Authority>),
    Renew,
    Undo,
    HandOver { from: Lineage, to: Lineage },
}

async fn carry_out(arguments: Vec<String>) -> Result<Value> {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let (config, order) = match arguments[..] {
        [config, "recover"] => (config, Order::None),
        [config, "renew"] => (config, Order::Renew),
        [config, "undo"] => (config, Order::Undo),
        [config, "hand-over", from, to] => (config, Order::HandOver { from: from.parse()?, to: to.parse()? }),
        [config, "rotate", certificate, key] => {
            let authority = Authority::load(&fs::read_to_string(certificate)?, &fs::read_to_string(key)?)?;
            (config, Order::Rotate(Box::new(authority)))
        }
        _ => bail!(
            "usage: rotate_once CONFIG rotate CA.crt CA.key | rotate_once CONFIG renew | rotate_once CONFIG undo | \
             rotate_once CONFIG hand-over FROM TO | rotate_once CONFIG recover"
        ),
    };
    let config = config::load(Path::new(config))?;
    let agent = Agent::resolve(config.agents.first().context("the configuration names no agent")?)?;
    let name = config.host.clone().context("the configuration does not name the host")?;
    let state = config.state_directory.as_deref().context("the configuration names no state directory")?;
    let (state_directory, _lock) = StateDirectory::open(state)?;
    let target = Target {
        lineage: None,
        epoch: Epoch(1),
        generation: Generation(1),
        host: name.clone(),
        agent: agent.name.clone(),
    };
    let host = Host::new(name, state_directory, PowerGate::new(&config.power));
    let mut rotator = Rotator::recover(host.clone(), agent).await?;
    let refusal = match order {
        Order::None => None,
        Order::Rotate(authority) => rotate(&mut rotator, target, &authority).await?.err(),
        Order::Renew => renew(&mut rotator, target).await.err(),
        Order::Undo => undo(&mut rotator, target).await.err(),
        Order::HandOver { from, to } => {
            rotator.hand_over(&HandOver { target: Target { lineage: Some(from), ..target }, to }).err()
        }
    };
    Ok(json!({"report": rotator.report(), "refusal": refusal, "obeyed": host.speaker().lineage}))
}

async fn renew(rotator: &mut Rotator, target: Target) -> Result<(), Refusal> {
    rotator.renew(&RenewalOrder { target, mark: None }, Ok(()))?;
    rotator.advance(|_| {}).await;
    Ok(())
}

async fn undo(rotator: &mut Rotator, target: Target) -> Result<(), Refusal> {
    rotator.roll_back(&RollbackOrder { target }, || true).await?;
    rotator.advance(|_| {}).await;
    Ok(())
}

async fn rotate(rotator: &mut Rotator, target: Target, authority: &Authority) -> Result<Result<(), Refusal>> {
    let open = RotationOpen {
        certificate: CertificateRequest {
            dns_names: vec![target.host.to_string()],
            ip_addresses: Vec::new(),
            subject: CertificateSubject::default(),
            // Made in microseconds; an RSA key takes up to a second.
            key: KeyRequest::EcdsaP256,
        },
        keystore: KeystoreOrder::default(),
        mark: None,
        target: target.clone(),
    };
    let csr = match rotator.open(&open, Ok(())) {
        Ok(report) => report.csr.context("an opened rotation has no CSR")?,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let chain = authority.sign(&csr)?;
    if let Err(refusal) = rotator.deliver(&ChainDelivery { target, chain }, Ok(())) {
        return Ok(Err(refusal));
    }
    rotator.advance(|_| {}).await;
    Ok(Ok(()))
}
