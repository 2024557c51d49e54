//! `fibreflow dev`: the worker, the HTTP interface and the stand-ins, until somebody stops them.

use std::{future::Future, io::ErrorKind, net::Ipv4Addr, pin::pin, process, sync::Arc};

use console::{Access, Console, Live};
use durable::{Clock, Settings, after, seconds};
use durable_local::{Store, SystemClock, SystemRandom, Worker};
use orchestrator::{FileSource, Registries};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use crate::{
    args, catalogue,
    catalogue::Configured,
    demo::Demo,
    failure::{Failure, Result},
    home::{Home, Server},
    logs,
    progress::Progress,
    server::{self, Api},
    services::{self, Standing},
    terminal::{alarming, complain, faint},
    text,
};

pub(crate) async fn dev(home: &Home, order: &args::Dev) -> Result<()> {
    let progress = Progress::new();
    logs::start(progress.display(), "warn");
    // From here on a signal stops what has started, rather than leave it behind.
    let mut signals = Signals::watch()?;
    // Asked for first: a port that is taken is no reason to start anything.
    let listener = listen(order.port).await?;
    let standing = if order.sandbox {
        tokio::select! {
            started = patiently(&progress, Standing::start(home, order.port, order.time_scale)) => Some(started?),
            () = signals.next() => return interrupted(order),
        }
    } else {
        None
    };
    let ended = work(home, order, &progress, listener, standing.as_ref(), signals).await;
    progress.clear();
    if let Some(standing) = standing {
        standing.stop().await?;
    }
    ended
}

/// `REGISTRY`: a file; without it, the one that is shipped.
fn registries() -> durable::Result<Registries> {
    match std::env::var_os("REGISTRY").filter(|path| !path.is_empty()) {
        Some(path) => Ok(Registries::of(FileSource(path.into()))),
        None => Registries::shipped(),
    }
}

/// What being stopped from outside means: the end of a server, and the failure of a demo that was to be seen through.
fn interrupted(order: &args::Dev) -> Result<()> {
    if order.once { Err(Failure::new("stopped before the demo had ended")) } else { Ok(()) }
}

/// Says what is waited for, when it takes long.
async fn patiently(progress: &Progress, start: impl Future<Output = Result<Standing>>) -> Result<Standing> {
    let mut start = pin!(start);
    let long = SystemClock.sleep_until(after(SystemClock.now(), seconds(5)));
    tokio::select! {
        started = &mut start => return started,
        () = long => progress.say("starting PostgreSQL, which stands for Neon; fetching it where it is missing"),
    }
    start.await
}

/// Everything but the stand-ins, which outlive it: runs at work may need them until their last step has ended.
async fn work(
    home: &Home,
    order: &args::Dev,
    progress: &Arc<Progress>,
    listener: TcpListener,
    standing: Option<&Standing>,
    signals: Signals,
) -> Result<()> {
    let configured = match standing {
        Some(standing) => standing.configured()?,
        None => services::from_environment(order.time_scale)?,
    };
    let store = home.store()?;
    let url = format!("http://{}", listener.local_addr()?);
    let _notice = home.post_server(&Server { pid: process::id(), url: url.clone() })?;
    let settings = Settings::default();
    // What is suspended in real time is suspended when time goes quicker: one watches what would happen.
    let short_wait = settings.short_wait / order.time_scale;
    let settings = Settings { time_scale: order.time_scale, short_wait, ..settings };
    let ports = store.ports(Some(progress.clone()));
    let worker = Worker::new(store.clone(), ports, settings, configured.runnables.clone())?;
    let registries = Arc::new(registries()?);
    welcome(home, order, &url, &configured, &worker, standing, progress);

    let (stop, stopped) = watch::channel(false);
    let working = async {
        let ended = worker.run(told(&stopped)).await;
        stop.send_replace(true);
        ended
    };
    let api = api(&store, &configured, registries.clone(), order.sandbox);
    let serving = async {
        let ended = serve(listener, api, &stopped).await;
        stop.send_replace(true);
        ended
    };
    let demo = Demo {
        store: &store,
        registries: &registries,
        configured: &configured,
        progress,
        time_scale: order.time_scale,
    };
    let showing = async {
        let ended = tokio::select! {
            ended = show(&demo, order, &url) => ended,
            () = told(&stopped) => interrupted(order),
        };
        if order.once {
            stop.send_replace(true);
        }
        ended
    };
    tokio::select! {
        ended = async { tokio::join!(working, serving, showing) } => {
            ended.0?;
            ended.1?;
            ended.2
        }
        () = signals.stop(&stop, progress) => Err(Failure::new("stopped at once; what was under way goes on at the next start")),
    }
}

/// Shows the demo if it is asked for. Its failure is that of the program only if the program ends with it.
async fn show(demo: &Demo<'_>, order: &args::Dev, url: &str) -> Result<()> {
    if !order.demo {
        return std::future::pending().await;
    }
    let ended = demo.run().await;
    if order.once {
        return ended;
    }
    if let Err(failure) = ended {
        complain(alarming(failure));
    }
    demo.progress.say(faint(format_args!("\n{url} goes on; Ctrl-C stops it")));
    Ok(())
}

async fn listen(port: u16) -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| {
        Failure::new(match error.kind() {
            ErrorKind::AddrInUse => format!(
                "127.0.0.1:{port} is taken, perhaps by another `fibreflow dev`: stop it, or choose another port with --port"
            ),
            _ => format!("cannot listen on 127.0.0.1:{port}: {error}"),
        })
    })
}

fn api(store: &Store, configured: &Configured, registries: Arc<Registries>, sandbox: bool) -> Arc<Api> {
    Arc::new(Api {
        store: store.clone(),
        desk: store.desk(store.ports(None), catalogue::definitions().into()),
        definitions: catalogue::definitions(),
        left_out: configured.left_out.clone(),
        registries,
        sandbox,
    })
}

/// The console over what is served here, for this machine's user.
fn console(api: &Api, stopped: &watch::Receiver<bool>) -> Result<Console> {
    let access = Access::loopback(&SystemRandom)?;
    let live = Live { stopped: Some(stopped.clone()), ..Live::default() };
    let place = if api.sandbox { "sandbox" } else { "local" };
    Ok(Console::new(api.desk.clone(), access).place(place).live(live))
}

/// Answers requests until stopped; then those under way have a little time to end.
async fn serve(listener: TcpListener, api: Arc<Api>, stopped: &watch::Receiver<bool>) -> Result<()> {
    let console = console(&api, stopped)?.router();
    let server = axum::serve(listener, server::router(api, console)).with_graceful_shutdown(told(stopped));
    let late = async {
        told(stopped).await;
        SystemClock.sleep_until(after(SystemClock.now(), seconds(5))).await;
    };
    tokio::select! {
        ended = server => Ok(ended?),
        () = late => Ok(()),
    }
}

/// Resolves when it is time to stop.
fn told(stopped: &watch::Receiver<bool>) -> impl Future<Output = ()> + Send + 'static {
    let mut stopped = stopped.clone();
    async move {
        // A sender that is gone stops everything as well.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }
}

/// SIGINT and SIGTERM.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn watch() -> Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// The first signal stops gently; this returns at the second one.
    async fn stop(mut self, stop: &watch::Sender<bool>, progress: &Progress) {
        self.next().await;
        progress.say("stopping; once more stops at once");
        stop.send_replace(true);
        self.next().await;
    }
}

fn welcome(
    home: &Home,
    order: &args::Dev,
    url: &str,
    configured: &Configured,
    worker: &Worker,
    standing: Option<&Standing>,
    progress: &Progress,
) {
    let line =
        |name: &str, what: &str| progress.say(format_args!("{}  {what}", faint(format_args!("{name:<10}"))));
    line("fibreflow", url);
    line("state", &home.folder().display().to_string());
    if order.time_scale > 1 {
        line("time", &format!("{} times quicker than real", order.time_scale));
    }
    if let Some(standing) = standing {
        let services: Vec<_> = standing
            .listening
            .services()
            .into_iter()
            .map(|(name, address)| format!("{name} :{}", address.port()))
            .collect();
        line("sandbox", &services.join(", "));
    }
    let names: Vec<_> =
        configured.runnables.iter().map(|runnable| runnable.definition().name.as_str()).collect();
    line("workflows", &names.join(", "));
    for left_out in &configured.left_out {
        line("left out", &alarming(format_args!("{}: {}", left_out.workflow, left_out.reason)));
    }
    let now = SystemClock.now();
    for (workflow, due) in worker.next_scheduled(now) {
        line("schedule", &format!("{workflow} {}", text::when(due, now)));
    }
    progress.say("");
}
