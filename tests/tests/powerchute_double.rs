//! The double does what the vendor's notice says of the product: else what the other tests show is worth little.

use std::fs;

use anyhow::{Result, ensure};
use kagiban_tests::keystore::StoreType;
use kagiban_tests::pki::Authority;
use kagiban_tests::powerchute::{ALIAS, EXTRA_ALIAS, Installation, PowerChute};
use kagiban_tests::{handshake, scratch};

const PASSWORD: &str = "first-password";

fn install(name: &str, store_type: StoreType, deletes_credentials: bool) -> Result<PowerChute> {
    let installation = Installation {
        store_type,
        password: PASSWORD.to_owned(),
        host_name: "ups-01.example.com".to_owned(),
        deletes_credentials,
        usual_ports: false,
    };
    PowerChute::install(&scratch::directory(name)?, &installation, &Authority::new("Corporate Root")?)
}

#[test]
fn it_serves_the_key_under_its_alias_from_either_type_of_store() -> Result<()> {
    for store_type in [StoreType::Jks, StoreType::Pkcs12] {
        let agent = install("double-serves", store_type, false)?;
        agent.start()?;
        let listing = agent.listing(PASSWORD)?;
        ensure!(listing.store_type == store_type.to_string(), "{listing:?}");
        ensure!(listing.entries[ALIAS].chain == [agent.served()?.leaf_sha256()], "{listing:?}");
        ensure!(listing.entries[EXTRA_ALIAS].kind == "trustedCertEntry", "{listing:?}");
    }
    Ok(())
}

#[test]
fn it_puts_a_new_password_on_its_store_and_remembers_it_without_the_ini_file() -> Result<()> {
    let agent = install("double-password", StoreType::Jks, true)?;
    agent.start()?;
    agent.stop()?;
    ensure!(!fs::read_to_string(agent.ini())?.contains("[Credentials]"), "the section is still there");
    fs::write(agent.ini(), "[Credentials]\nKS_Access_Data = second-password\n")?;
    agent.start()?;
    agent.listing("second-password")?;
    agent.stop()?;
    ensure!(!fs::read_to_string(agent.ini())?.contains("[Credentials]"), "the section is still there");
    agent.start()?;
    ensure!(agent.starts() == 3, "{} starts", agent.starts());
    Ok(())
}

#[test]
fn it_does_not_start_without_its_files_or_with_a_store_that_does_not_open() -> Result<()> {
    let agent = install("double-refuses", StoreType::Pkcs12, false)?;
    for file in ["m11.cfg", "m11.bak", "pcssconfig.ini", "pcssconfig_backup.ini"] {
        let path = agent.directory().join(file);
        let kept = fs::read(&path)?;
        fs::remove_file(&path)?;
        ensure!(agent.start_and_wait_for_the_end()?.contains(file), "{}", agent.log_text());
        fs::write(&path, kept)?;
    }
    fs::write(agent.ini(), "[Credentials]\nKS_Access_Data = not-the-password\n")?;
    ensure!(agent.start_and_wait_for_the_end()?.contains("does not open"), "{}", agent.log_text());
    ensure!(handshake::served(agent.address(), "localhost").is_err(), "it serves all the same");
    Ok(())
}
