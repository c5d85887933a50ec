//! What the README tells people to type works, and what it lists is all there is.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation};

use crate::harness::{Place, Setup, TestWorker};

/// Verbs that a test runs in another way, or elsewhere.
const NOT_RUN_HERE: [&str; 2] = ["run", "demo"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_the_readme_do_what_it_says() {
    let readme = read("README.md");
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.toml");
    let own_rule = fenced(&readme, "toml").into_iter().find(|block| block.contains("[[rules]]")).unwrap();
    std::fs::write(&rules, format!("{}\n{own_rule}", read("config/rules.toml"))).unwrap();
    let files = ["starter.json", "grants.ndjson"].map(|name| (format!("/tmp/{name}"), folder.path().join(name)));
    for (said, file) in &files {
        std::fs::write(file, heredoc(&readme, said)).unwrap();
    }

    let worker = Setup::default().with_rules(rules.to_str().unwrap()).start().await;
    let mut verbs = BTreeSet::new();
    for command in commands(&readme) {
        let mut words: Vec<String> = command.split_whitespace().skip(1).map(str::to_owned).collect();
        if NOT_RUN_HERE.contains(&words[0].as_str()) {
            continue;
        }
        for word in &mut words {
            if let Some((_, file)) = files.iter().find(|(said, _)| said == word) {
                file.to_str().unwrap().clone_into(word);
            }
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ended = worker.place.credits(&words).await;
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "`{command}` of the README: {}: {said}", ended.status);
        verbs.insert(words[0].to_owned());
        if words[0] == "publish" {
            worker.broker.count_a_delivery();
            worker.wait_until_settled().await;
        }
    }
    let shown = ["check", "migrate", "publish", "balance", "grants", "ledger", "explain"];
    for verb in shown.into_iter().chain(["grant", "regrant", "revoke", "import"]) {
        assert!(verbs.contains(verb), "the README shows no `credits {verb}`: {verbs:?}");
    }
    worker.assert_grants("cus_ada", &[("1000", "1000")]).await;
    // 500 credits for 12.00 EUR, says the README.
    worker.assert_grants("cus_fay", &[("500", "500")]).await;
    // Regranted and then taken back; imported with what was used.
    worker.assert_grants("cus_gil", &[("1000", "0"), ("1000", "0")]).await;
    worker.assert_balance("cus_hal", "credits", "650").await;
}

#[tokio::test]
async fn the_message_that_the_readme_has_a_foreign_client_send_is_taken() {
    let readme = read("README.md");
    let block = fenced(&readme, "text").into_iter().find(|block| block.starts_with("exchange: ")).unwrap();
    let (head, body) = block.split_once("\n\n").unwrap();
    let (mut exchange, mut key, mut headers) = ("", "", FieldTable::default());
    let mut properties = BasicProperties::default();
    for (name, value) in head.lines().map(|line| line.split_once(": ").unwrap()) {
        match name {
            "exchange" => exchange = value,
            "routing key" => key = value,
            "content type" => properties = properties.with_content_type(value.into()),
            "delivery mode" => properties = properties.with_delivery_mode(value.parse().unwrap()),
            other => {
                let header = other.strip_prefix("header ").unwrap_or_else(|| panic!("what is {other}?"));
                headers.insert(header.into(), AMQPValue::LongString(value.into()));
            }
        }
    }
    let worker = TestWorker::start().await;
    let (_connection, channel) = worker.broker.connect().await.unwrap();
    let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let exchange = worker.place.name(exchange).into();
    let properties = properties.with_headers(headers);
    let published = channel.basic_publish(exchange, key.into(), mandatory, body.trim().as_bytes(), properties).await;
    assert_eq!(published.unwrap().await.unwrap(), Confirmation::Ack(None), "a queue takes it");
    worker.broker.count_a_delivery();
    worker.wait_until_settled().await;
    assert_eq!(worker.outcomes("evt_eve_1").await, ["applied"]);
}

/// Then it would be one that nothing here runs.
#[test]
fn the_readmes_shell_lines_call_no_program_but_its_own_and_the_usual_ones() {
    let readme = read("README.md");
    let blocks = fenced(&readme, "sh");
    let lines = blocks.iter().map(|block| block.split("<<'EOF'").next().unwrap()).flat_map(str::lines);
    let programs: BTreeSet<&str> = lines.filter_map(|line| line.split_whitespace().next()).collect();
    let known = ["credits", "make", ".", "cargo", "export", "cat"].into();
    let strange: Vec<_> = programs.difference(&known).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[tokio::test]
async fn the_readmes_metrics_are_those_that_are_served() {
    let mut worker = TestWorker::start().await;
    let (_, served) = worker.process().get("/metrics").await.unwrap();
    let served: BTreeSet<String> = served
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| if kind == "counter" { format!("{name}_total") } else { name.to_owned() })
        .collect();
    let table = section(&read("README.md"), "## Health and metrics");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let names = rows.flat_map(|cell| cell.split('`')).filter(|word| word.starts_with("credits_"));
    let told: BTreeSet<String> = names.map(|name| name.split('{').next().unwrap().to_owned()).collect();
    assert_eq!(told, served, "left: the README, right: /metrics");
}

#[test]
fn the_readmes_verbs_are_those_of_the_program() {
    let help = Command::new(env!("CARGO_BIN_EXE_credits")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let known: BTreeSet<&str> = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    let table = section(&read("README.md"), "## Verbs");
    let told: BTreeSet<&str> =
        table.lines().filter_map(|line| line.strip_prefix("| `credits ")?.split(['`', ' ']).next()).collect();
    assert_eq!(told, known, "left: the README, right: credits --help");
}

#[tokio::test]
async fn the_broken_file_of_the_readme_is_refused_in_its_words() {
    let readme = read("README.md");
    let console = fenced(&readme, "console").into_iter().find(|block| block.starts_with("$ credits check")).unwrap();
    let (command, answer) = console.split_once('\n').unwrap();
    let words: Vec<&str> = command.trim_start_matches("$ credits ").split_whitespace().collect();
    let place = Place::new(crate::harness::Services::shared().into()).await;
    let ended = place.credits(&words).await;
    assert_eq!(String::from_utf8_lossy(&ended.stderr).trim(), answer.trim());
    assert_eq!(ended.status.code(), Some(78));
}

#[tokio::test]
async fn the_case_of_the_readme_passes_with_the_readmes_rule() {
    let readme = read("README.md");
    let block = |head: &str| fenced(&readme, "toml").into_iter().find(|block| block.contains(head)).unwrap();
    let place = Place::new(crate::harness::Services::shared().into()).await;
    let (rules, cases) = (place.folder.path().join("own.toml"), place.folder.path().join("own.test.toml"));
    std::fs::write(&rules, format!("{}\n{}", read("config/rules.toml"), block("[[rules]]"))).unwrap();
    std::fs::write(&cases, block("[[cases]]")).unwrap();
    let ended = place.credits(&["rules", "test", "--rules", rules.to_str().unwrap()]).await;
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success() && said.contains("1 of 1 cases passed"), "{said}");
}

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The text below a heading, up to the next of its kind.
fn section(readme: &str, heading: &str) -> String {
    let below = readme.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("no {heading}"));
    below.split("\n## ").next().unwrap().to_owned()
}

/// The blocks of a language, without the indentation of a list.
fn fenced(readme: &str, language: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for line in readme.lines() {
        let bare = line.trim_start();
        match &mut open {
            None if bare == format!("```{language}") => open = Some((line.len() - bare.len(), String::new())),
            None => {}
            Some((_, block)) if bare == "```" => {
                blocks.push(std::mem::take(block));
                open = None;
            }
            Some((indent, block)) => {
                block.push_str(line.get(*indent..).unwrap_or_default());
                block.push('\n');
            }
        }
    }
    blocks
}

/// The lines of shell blocks that call the program.
fn commands(readme: &str) -> Vec<String> {
    let lines: Vec<String> =
        fenced(readme, "sh").iter().flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let calls = lines.iter().filter(|line| line.starts_with("credits "));
    calls.map(|line| line.split('#').next().unwrap().trim().to_owned()).collect()
}

/// A file that the README has people write.
fn heredoc(readme: &str, file: &str) -> String {
    let head = format!("cat > {file}");
    let block = fenced(readme, "sh").into_iter().find(|block| block.starts_with(&head)).unwrap();
    block.split_once("<<'EOF'\n").unwrap().1.split("\nEOF\n").next().unwrap().to_owned()
}
