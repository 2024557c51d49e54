//! A browser, and a console that it can reach.

use std::{
    io::{BufRead, BufReader},
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use axum::Router;
use console::{Access, Console, Live};
use durable::testing::Simulation;
use fantoccini::{Client, ClientBuilder, Locator, elements::Element, wd::Capabilities};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A browser that ends with its test.
pub(super) struct Browser {
    pub(super) client: Client,
    origin: String,
    driver: Child,
}

/// How a page is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    Light,
    Dark,
}

impl Theme {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// Pages are looked at anew this often, so that nobody waits for a test.
pub(super) fn quick() -> Live {
    Live { every: Duration::from_millis(40), ..Live::default() }
}

/// The address of a console over a simulation, for this machine's user.
pub(super) async fn serve(simulation: &Simulation) -> String {
    let access = Access::loopback(&*simulation.ports().random).unwrap();
    serve_router(Console::new(simulation.desk(), access).live(quick()).router(), listener().await)
}

pub(super) async fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}

#[expect(clippy::disallowed_methods, reason = "it ends with the runtime of its test")]
pub(super) fn serve_router(router: Router, listener: TcpListener) -> String {
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    origin
}

impl Browser {
    /// Opens a browser of a desktop's size.
    pub(super) async fn open(origin: &str, theme: Theme) -> Self {
        let mut driver = Command::new("chromedriver")
            .args(["--port=0", "--allowed-ips="])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is missing: ./test installs it (Debian: apt-get install chromium chromium-driver)");
        let port = port_of(&mut driver);
        let preferred = match theme {
            Theme::Dark => 0,
            Theme::Light => 1,
        };
        let arguments = [
            "--headless=new".to_owned(),
            // It runs in a container as root, where its own sandbox does not work; it sees no pages but ours.
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--hide-scrollbars".to_owned(),
            "--window-size=1440,900".to_owned(),
            "--lang=en-GB".to_owned(),
            format!("--blink-settings=preferredColorScheme={preferred}"),
        ];
        let mut capabilities = Capabilities::new();
        capabilities.insert("goog:chromeOptions".into(), json!({ "args": arguments }));
        capabilities.insert("goog:loggingPrefs".into(), json!({ "browser": "ALL" }));
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = ClientBuilder::new(connector)
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a browser");
        Self { client, origin: origin.to_owned(), driver }
    }

    /// Goes to a page.
    pub(super) async fn go(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.origin)).await.unwrap();
    }

    /// What this finds, once it is there and can be seen.
    pub(super) async fn see(&self, css: &str) -> Element {
        let found = self.client.wait().for_element(Locator::Css(css)).await;
        found.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    /// Waits until an element of this kind holds this text.
    pub(super) async fn reads(&self, css: &str, text: &str) -> Element {
        let script = "return [...document.querySelectorAll(arguments[0])].some((one) => one.innerText.includes(arguments[1]))";
        let arguments = vec![json!(css), json!(text)];
        for _ in 0..400 {
            if self.client.execute(script, arguments.clone()).await.unwrap() == json!(true) {
                return self.client.find(Locator::Css(css)).await.unwrap();
            }
            self.pause().await;
        }
        panic!("{css} never read {text:?}; {}", self.text().await);
    }

    /// What is to be read, for messages.
    async fn text(&self) -> String {
        let page = self.run("return document.body.innerText").await;
        format!("the page {}: {}", self.path().await, page.as_str().unwrap_or_default())
    }

    #[expect(clippy::disallowed_methods, reason = "a browser works in real time")]
    async fn pause(&self) {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }

    /// Presses what bears this text.
    pub(super) async fn press(&self, text: &str) {
        let path = format!(
            "//*[self::a or self::button or self::label][normalize-space()='{text}'][not(ancestor::dialog[not(@open)])]"
        );
        for _ in 0..20 {
            match self.client.wait().for_element(Locator::XPath(&path)).await {
                // A page that is live may be drawn anew between the two.
                Ok(found) if found.click().await.is_ok() => return,
                Ok(_) => self.pause().await,
                Err(error) => panic!("{text}: {error}; {}", self.text().await),
            }
        }
        panic!("{text}: cannot be pressed; {}", self.text().await);
    }

    /// Follows the link that this finds. In one go: a page that is live may be drawn anew at any time.
    pub(super) async fn follow(&self, css: &str) {
        self.see(css).await;
        self.client.execute("document.querySelector(arguments[0]).click()", vec![json!(css)]).await.unwrap();
    }

    pub(super) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    pub(super) async fn path(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        format!("{}{}", url.path(), url.query().map(|query| format!("?{query}")).unwrap_or_default())
    }

    pub(super) async fn close(mut self) {
        self.client.clone().close().await.unwrap();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Closed already, unless the test failed.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The port that the driver has taken: it says so once it listens.
fn port_of(driver: &mut Child) -> u16 {
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.find(|line| line.contains("started successfully on port")).expect("the driver listens");
    // Somebody must go on reading, or the driver stops when the pipe is full.
    std::thread::spawn(move || lines.for_each(drop));
    said.trim_end_matches('.').rsplit(' ').next().unwrap().parse().unwrap()
}
