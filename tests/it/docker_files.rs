//! The Docker files say what they have to. They are read here, not run: that needs an engine.

use std::path::Path;

use serde_json::Value;

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn compose() -> Value {
    serde_saphyr::from_str(&read("docker-compose.yml")).expect("docker-compose.yml is YAML")
}

#[test]
fn compose_starts_postgres_rabbitmq_a_one_shot_migration_and_the_worker() {
    let compose = compose();
    let services: Vec<&String> = compose["services"].as_object().unwrap().keys().collect();
    assert_eq!(services, ["migrate", "postgres", "rabbitmq", "worker"]);
    assert!(image(&compose, "postgres").starts_with("postgres:"));
    let rabbitmq = image(&compose, "rabbitmq");
    assert!(rabbitmq.starts_with("rabbitmq:4") && rabbitmq.contains("management"), "{rabbitmq}");
    assert_eq!(compose["services"]["migrate"]["command"], serde_json::json!(["migrate"]));
    assert_eq!(compose["services"]["migrate"]["restart"], "no", "the migration runs once");
    assert_eq!(compose["services"]["worker"]["command"][0], "run");
}

#[test]
fn compose_waits_for_health_before_it_starts_what_depends_on_it() {
    let compose = compose();
    for service in ["postgres", "rabbitmq", "worker"] {
        let test = &compose["services"][service]["healthcheck"]["test"];
        assert!(test.as_array().is_some_and(|test| test.len() > 1), "{service} has no health check");
    }
    for (service, needs, condition) in [
        ("migrate", "postgres", "service_healthy"),
        ("worker", "postgres", "service_healthy"),
        ("worker", "rabbitmq", "service_healthy"),
        ("worker", "migrate", "service_completed_successfully"),
    ] {
        let found = &compose["services"][service]["depends_on"][needs]["condition"];
        assert_eq!(found, condition, "{service} needs {needs}");
    }
}

#[test]
fn compose_opens_ports_on_loopback_only() {
    let compose = compose();
    let mut open = 0;
    for (name, service) in compose["services"].as_object().unwrap() {
        for port in service["ports"].as_array().into_iter().flatten() {
            let port = port.as_str().expect("a port is a text, or YAML may read it as a number");
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
            open += 1;
        }
    }
    assert_eq!(open, 4, "Postgres, RabbitMQ, its management, the worker's health");
}

#[test]
fn compose_gives_both_credits_services_the_urls_of_its_own_services() {
    let compose = compose();
    for service in ["migrate", "worker"] {
        let environment = &compose["services"][service]["environment"];
        let url = |name: &str| environment[name].as_str().unwrap_or_default().to_owned();
        assert!(url("DATABASE_URL").contains("@postgres:5432/"), "{service}: {environment}");
        assert!(url("AMQP_URL").contains("@rabbitmq:5672/"), "{service}: {environment}");
    }
    let grace = compose["services"]["worker"]["stop_grace_period"].as_str().unwrap();
    let seconds: u32 = grace.trim_end_matches('s').parse().unwrap();
    assert!(seconds > 25, "the worker may drain for 25 s before it is killed: {grace}");
}

#[test]
fn the_image_is_built_in_stages_and_runs_as_nobody_of_note() {
    let file = read("Dockerfile");
    let instructions = instructions(&file);
    let all = |word: &str| -> Vec<&str> {
        instructions.iter().filter(|(name, _)| name == word).map(|(_, rest)| rest.as_str()).collect()
    };
    let stages = all("FROM");
    assert_eq!(stages.len(), 2, "one stage builds, one runs: {stages:?}");
    assert!(stages[0].starts_with("rust:") && stages[0].ends_with(" AS build"), "{}", stages[0]);
    assert!(!stages[1].contains("rust"), "no compiler in the image: {}", stages[1]);
    assert!(all("COPY").iter().any(|copy| copy.starts_with("--from=build ")), "the binary comes from the first stage");
    let user = all("USER");
    let ids: Vec<u32> = user.last().unwrap().split(':').map(|id| id.parse().expect("a number")).collect();
    assert!(ids.iter().all(|id| *id > 0), "not root: {ids:?}");
    assert_eq!(all("ENTRYPOINT"), ["[\"credits\"]"]);
    assert_eq!(all("CMD"), ["[\"run\"]"]);
    let last_user = instructions.iter().rposition(|(name, _)| name == "USER").unwrap();
    let last_run = instructions.iter().rposition(|(name, _)| name == "RUN").unwrap();
    assert!(last_run < last_user, "nothing is installed after root is left");
}

#[test]
fn the_image_builds_with_a_toolchain_that_is_new_enough() {
    let wanted = read("Cargo.toml");
    let wanted = wanted.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    let file = read("Dockerfile");
    let given = file.lines().find_map(|line| line.strip_prefix("FROM rust:")).unwrap();
    let version = |text: &str| -> Vec<u32> {
        text.split(|c: char| !c.is_ascii_digit()).take(2).map(|part| part.parse().unwrap()).collect()
    };
    assert!(version(given) >= version(wanted), "the image has Rust {given}, Cargo.toml wants {wanted}");
}

fn image(compose: &Value, service: &str) -> String {
    compose["services"][service]["image"].as_str().unwrap_or_default().to_owned()
}

/// Instructions and their arguments, continued lines joined, comments dropped.
fn instructions(file: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = file.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let split = |line: &str| line.split_once(' ').map(|(name, rest)| (name.to_owned(), rest.trim().to_owned()));
    joined.lines().filter_map(split).collect()
}
