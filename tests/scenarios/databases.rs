//! The database as a run finds it: one that is just starting is waited for, one that lets nobody in is told at once.

use anyhow::{Context, Result, ensure};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use url::Url;
use watchstate_tests::household::Household;

/// The household's database by another port of this machine, and what listens there.
async fn elsewhere(household: &Household) -> Result<(Url, TcpListener, (String, u16))> {
    let mut url = Url::parse(&household.database)?;
    let target = (url.host_str().context("a host")?.to_owned(), url.port().context("a port")?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    url.set_host(Some(&address.ip().to_string()))?;
    url.set_port(Some(address.port())).map_err(|()| anyhow::anyhow!("a port"))?;
    Ok((url, listener, target))
}

#[tokio::test]
async fn a_connection_that_nobody_answers_is_given_up_for_another() -> Result<()> {
    let household = Household::new().await?;
    let (url, listener, target) = elsewhere(&household).await?;
    let carrying = tokio::spawn(async move {
        // As packets to a pod that is gone: kept, and never answered.
        let _swallowed = listener.accept().await;
        while let Ok((mut outer, _)) = listener.accept().await {
            let target = target.clone();
            tokio::spawn(async move {
                if let Ok(mut inner) = TcpStream::connect(target).await {
                    drop(copy_bidirectional(&mut outer, &mut inner).await);
                }
            });
        }
    });
    let ran = household.worker(&["--database", url.as_str(), "servers", "list"]).await?.expect(0)?;
    let told = format!("127.0.0.1:{}", url.port().context("a port")?);
    ensure!(ran.stderr.contains("waiting for the database") && ran.stderr.contains(&told), "{ran:#?}");
    carrying.abort();
    Ok(())
}

#[tokio::test]
async fn a_database_that_refuses_us_is_told_at_once_and_by_its_address() -> Result<()> {
    let household = Household::new().await?;
    let mut url = Url::parse(&household.database)?;
    url.set_path("/nobodys-database");
    let ran = household.worker(&["--database", url.as_str(), "servers", "list"]).await?.expect(2)?;
    let told = format!("127.0.0.1:{}", url.port().context("a port")?);
    ensure!(ran.stderr.contains(&told) && ran.stderr.contains("nobodys-database"), "{ran:#?}");
    ensure!(!ran.stderr.contains("waiting for the database"), "{ran:#?}");
    let password = url.password().context("a password")?;
    ensure!(!ran.stderr.contains(password), "{ran:#?}");
    Ok(())
}
