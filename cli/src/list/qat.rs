//! Virtual functions of QAT: what each is set up for, and what it lacks to be used.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};
use svala_engine::QatFunctions;

/// The functions, for programs.
pub(crate) fn functions(root: &Path) -> Vec<Value> {
    let found = QatFunctions::at(root).discover().functions.into_iter();
    found
        .map(|function| {
            json!({
                "address": function.address,
                "device": format!("{:#06x}", function.device),
                "generation": format!("{:?}", function.generation).to_lowercase(),
                "driver": function.driver,
                "node": function.node,
                "physical": function.physical,
                "state": function.state,
                "services": function.services,
                "numa_node": function.numa_node,
                "missing": function.missing(),
            })
        })
        .collect()
}

/// A line for each function, and one for what it lacks; nothing without any.
pub(crate) fn write(text: &mut String, root: &Path) {
    let found = QatFunctions::at(root).discover().functions;
    if found.is_empty() {
        return;
    }
    text.push_str("virtual functions of QAT, with --device qat or qat:ADDRESS\n");
    for function in found {
        let _ = writeln!(
            text,
            "  {} {:?}, driver {}, services {}, {}",
            function.address,
            function.generation,
            function.driver.as_deref().unwrap_or("none"),
            function.services.as_deref().unwrap_or("?"),
            function.node.as_ref().map_or_else(|| "no node".to_owned(), |node| node.display().to_string()),
        );
        if let Some(missing) = function.missing() {
            let _ = writeln!(text, "               {missing}");
        }
    }
}
