//! Gives up on operations that are under way: a timeout on a slow device, and a device that never answers.
//!
//! A device cannot be told to stop. What it has begun it ends, in memory that the runtime keeps for it: after a timeout
//! the buffers are freed when the device is done, and if it never answers they stay lent for good.
//!
//! Run with `cargo run --release -p svala-examples --example cancel`. Prints what became of the operations and of
//! their source, and what shutting down found in flight.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use idxd_emu::{FaultPlan, Which};
use svala_engine::{Device, Engine, Error};
use tokio::time::{sleep, timeout};

const LEN: usize = 1 << 20;

#[tokio::main]
async fn main() -> Result<()> {
    slow().await?;
    silent().await
}

/// A device that takes its time, and a caller that does not wait.
async fn slow() -> Result<()> {
    let plan = FaultPlan::default().delay(Duration::from_millis(300));
    let engine = Engine::builder().device(Device::Emulated).emulated_plan(plan).open()?;
    // A source that is counted shows who holds it.
    let src: Arc<[u8]> = vec![7; LEN].into();
    let copy = engine.copy(Arc::clone(&src), vec![0; LEN]);
    ensure!(timeout(Duration::from_millis(20), copy).await.is_err(), "the device was not slow");
    println!("slow: timed out; the source is {}", holders(&src));
    let freed = async {
        while Arc::strong_count(&src) > 1 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), freed).await?;
    println!("slow: the device is done; the source is {}", holders(&src));
    println!("slow: {} operation abandoned, {:?}", engine.snapshot().queues[0].abandoned, engine.shutdown());
    Ok(())
}

/// A device that never answers. The bound on waiting, 30 s by default, ends the operation but frees nothing.
async fn silent() -> Result<()> {
    let plan = FaultPlan::default().never_answer(Which::Every);
    let builder = Engine::builder().device(Device::Emulated).emulated_plan(plan);
    let engine = builder.config(|config| {
        config.answer_within = Duration::from_millis(100);
        config.drain_within = Duration::from_millis(100);
    });
    let engine = engine.open()?;
    let src: Arc<[u8]> = vec![7; LEN].into();
    let Err(failed) = engine.copy(Arc::clone(&src), vec![0; LEN]).await else { bail!("the device answered") };
    ensure!(matches!(failed.error, Error::NoAnswer { .. }) && failed.buffers.is_none(), "{failed}");
    println!("silent: {failed}");
    // `shutdown` blocks, so it has no place on an executor's thread where anything else runs.
    println!("silent: {:?}; the source is {}", engine.shutdown(), holders(&src));
    drop(engine);
    println!("silent: the engine is gone; the source is {}", holders(&src));
    Ok(())
}

fn holders(src: &Arc<[u8]>) -> &'static str {
    if Arc::strong_count(src) > 1 { "lent" } else { "free" }
}
