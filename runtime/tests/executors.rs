//! Any executor will do: nothing of the runtime's depends on which.

mod support;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};

use support::{BOTH, DEADLINE, Options, Plan, When, crc32c, noise};
use svala::Runtime;
use svala::backend::Completion;

fn runtime(completion: Completion) -> (Runtime, support::Device) {
    let mut options = Options::new(completion, |n, _| {
        Plan::by_turns(n, [When::Thread, When::Inline, When::Polls(4), When::Thread, When::Thread])
    });
    options.shuffle = Some(3);
    options.spin_polls = 2;
    support::runtime(options.depth(16))
}

async fn work(runtime: Runtime, seed: u64) {
    for round in 0..20 {
        let bytes = noise(2000, seed * 100 + round);
        let copied = runtime.copy(bytes, vec![0; 2000]).await.expect("a copy");
        let (src, dst) = copied.buffers;
        assert_eq!(src, dst);
        let crc = runtime.crc32c(dst, 1).await.expect("a crc");
        assert_eq!(crc.value, crc32c(1, &src));
    }
}

#[test]
fn tokio_with_many_threads() {
    for completion in BOTH {
        let (svala, _device) = runtime(completion);
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build();
        tokio.expect("a runtime").block_on(async {
            let tasks: Vec<_> = (0..32).map(|seed| tokio::spawn(work(svala.clone(), seed))).collect();
            for task in tasks {
                tokio::time::timeout(DEADLINE, task).await.expect("in time").expect("no panic");
            }
        });
    }
}

#[test]
fn tokio_on_one_thread() {
    for completion in BOTH {
        let (svala, _device) = runtime(completion);
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let tasks = tokio::task::LocalSet::new();
        for seed in 0..32 {
            tasks.spawn_local(work(svala.clone(), seed));
        }
        tokio.block_on(async { tokio::time::timeout(DEADLINE, tasks).await.expect("in time") });
    }
}

#[test]
fn pollster_on_several_threads() {
    for completion in BOTH {
        let (svala, _device) = runtime(completion);
        std::thread::scope(|scope| {
            for seed in 0..8 {
                let svala = svala.clone();
                scope.spawn(move || pollster::block_on(work(svala, seed)));
            }
        });
    }
}

/// An executor that polls inside `wake`, on whatever thread that is: the runtime must hold no lock then.
#[test]
fn an_executor_that_polls_inside_wake() {
    type Inner = Pin<Box<dyn Future<Output = ()> + Send>>;
    struct Task {
        /// The future, unless it is being polled or done; and whether it was woken meanwhile.
        slot: Mutex<(Option<Inner>, bool)>,
        done: mpsc::Sender<()>,
    }
    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            let waker = Waker::from(Arc::clone(&self));
            loop {
                let future = {
                    let mut slot = self.slot.lock().expect("no panic with the lock held");
                    slot.1 = true;
                    slot.0.take()
                };
                // Somebody is at it, and will see that it was woken.
                let Some(mut future) = future else { return };
                self.slot.lock().expect("no panic with the lock held").1 = false;
                if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    let _ = self.done.send(());
                    return;
                }
                let mut slot = self.slot.lock().expect("no panic with the lock held");
                slot.0 = Some(future);
                if !slot.1 {
                    return;
                }
            }
        }
    }
    for completion in BOTH {
        let (svala, device) = runtime(completion);
        let (done, ended) = mpsc::channel();
        for seed in 0..32 {
            let future: Inner = Box::pin(work(svala.clone(), seed));
            let task = Task { slot: Mutex::new((Some(future), false)), done: done.clone() };
            Arc::new(task).wake();
        }
        for _ in 0..32 {
            ended.recv_timeout(DEADLINE).expect("each task ends");
        }
        drop(svala);
        device.check();
    }
}
