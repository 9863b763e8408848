//! Where the API server is, and with which credentials: as kubectl finds them.

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::proxy::{check_environment, without_proxy};
use crate::cli::ClusterArgs;

/// A configuration for the cluster.
///
/// # Errors
/// When there is none, or it cannot be read.
pub(crate) async fn connect(args: &ClusterArgs) -> anyhow::Result<kube::Config> {
    check_environment()?;
    let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    let mut config = match &args.kubeconfig {
        Some(file) => {
            let kubeconfig = Kubeconfig::read_from(file).with_context(|| format!("cannot read {}", file.display()))?;
            kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.context("the kubeconfig cannot be used")?
        }
        None if args.context.is_some() => {
            kube::Config::from_kubeconfig(&options).await.context("the kubeconfig cannot be used")?
        }
        None => {
            kube::Config::infer().await.context("no cluster: give --kubeconfig, set KUBECONFIG, or run in a pod")?
        }
    };
    without_proxy(&mut config)?;
    Ok(config)
}
