//! Where Postgres and RabbitMQ are: those of the environment, or a pair of a test's own that it may kill.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const NO_SERVICES: &str = "run make test, or: scripts/services up .services && . .services/env";

/// A broker and a database.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) database_url: String,
    pub(crate) amqp_url: String,
    private: Option<Private>,
}

impl Services {
    /// Those that `make test` has started, shared with other tests.
    pub(crate) fn shared() -> Self {
        let variable = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: {NO_SERVICES}"));
        Self { database_url: variable("DATABASE_URL"), amqp_url: variable("AMQP_URL"), private: None }
    }

    /// A pair for one test alone. It is taken down when the test ends, however it ends.
    pub(crate) async fn private() -> Self {
        tokio::task::spawn_blocking(|| {
            let private = Private { folder: tempfile::tempdir().unwrap() };
            private.run("up");
            let env = std::fs::read_to_string(private.folder.path().join("env")).unwrap();
            Self { database_url: url(&env, "DATABASE_URL"), amqp_url: url(&env, "AMQP_URL"), private: Some(private) }
        })
        .await
        .unwrap()
    }

    /// Runs a verb of `scripts/services` on the private pair, such as `kill-broker`.
    pub(crate) async fn run(&self, verb: &'static str) {
        let folder = self.private.as_ref().expect("only a test's own services may be stopped").folder.path().to_owned();
        tokio::task::spawn_blocking(move || script(verb, &folder)).await.unwrap();
    }

    /// Whether a test has them for itself, so that nothing has to be tidied up in them.
    pub(crate) fn are_private(&self) -> bool {
        self.private.is_some()
    }
}

#[derive(Debug)]
struct Private {
    folder: TempDir,
}

impl Private {
    fn run(&self, verb: &str) {
        script(verb, self.folder.path());
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let ended = call("down", self.folder.path());
        if !ended.status.success() {
            eprintln!("scripts/services down failed: {}", String::from_utf8_lossy(&ended.stderr));
        }
    }
}

fn call(verb: &str, folder: &Path) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/services");
    Command::new(script).arg(verb).arg(folder).output().unwrap()
}

fn script(verb: &str, folder: &Path) {
    let ended = call(verb, folder);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "scripts/services {verb} ended with {}: {said}", ended.status);
}

fn url(env: &str, variable: &str) -> String {
    let start = format!("export {variable}='");
    let line = env.lines().find_map(|line| line.strip_prefix(&start)).expect("the variable in the env file");
    line.trim_end_matches('\'').to_owned()
}
