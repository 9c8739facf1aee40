//! JSON Schemas (draft 2020-12) of events and their data, made from the payload structs.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::{TYPES, sample};
use crate::domain::event::Severity;
use crate::domain::payload::{
    BudgetData, ChangeData, CorrectionData, DeadData, DegradedData, DigestData, ForecastData, HeldData, LevelData,
    SinkHealthData, SourceHealthData, SpikeData, SpikeResolvedData, StaleData, TestData, ThreadCostData,
};

/// The schema of each known type's `data`.
pub fn payload_schemas() -> BTreeMap<String, Schema> {
    TYPES
        .iter()
        .map(|kind| {
            let mut generator = generator();
            let data = data_schema(kind.name, &mut generator);
            (kind.name.to_owned(), with_definitions(data, &mut generator))
        })
        .collect()
}

/// The schema of a whole event of a type, its `data` included; `None` for what can be no type.
pub fn event_schema(kind: &str) -> Option<Schema> {
    sample(kind)?;
    let mut generator = generator();
    let data = data_schema(kind, &mut generator);
    let severity = generator.subschema_for::<Severity>();
    let text = |description: &str| json!({ "type": "string", "minLength": 1, "description": description });
    let event = json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind,
        "description": "A CloudEvents 1.0 event in structured JSON",
        "type": "object",
        "required": ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "severity", "data"],
        "properties": {
            "specversion": { "const": "1.0" },
            "id": text("The same after any crash, repeated poll or restore; never the same for two different facts"),
            "source": { "type": "string", "pattern": "^ampbridge://[A-Za-z0-9_-]+/[A-Za-z0-9_-]+$", "description": "ampbridge://<bridge name>/<source name>" },
            "type": { "const": kind },
            "subject": text("The thing it is about"),
            "time": { "type": "string", "format": "date-time", "description": "When the fact was so at its source, else when it was seen" },
            "datacontenttype": { "const": "application/json" },
            "severity": severity,
            "data": data,
        },
    });
    Some(with_definitions(event, &mut generator))
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().for_serialize().into_generator()
}

/// Types this page does not know come from manifests: levels where the sample is one, records otherwise.
fn data_schema(kind: &str, generator: &mut SchemaGenerator) -> Schema {
    match kind {
        "budget.threshold_reached" | "budget.exceeded" => inline::<BudgetData>(generator),
        "budget.corrected" => inline::<CorrectionData>(generator),
        "budget.forecast_exceeded" => inline::<ForecastData>(generator),
        "cost.spike" => inline::<SpikeData>(generator),
        "cost.spike_resolved" => inline::<SpikeResolvedData>(generator),
        "thread.cost_exceeded" => inline::<ThreadCostData>(generator),
        "source.failing" | "source.recovered" => inline::<SourceHealthData>(generator),
        "source.degraded" => inline::<DegradedData>(generator),
        "source.change_held" => inline::<HeldData>(generator),
        "source.stale" | "source.fresh" => inline::<StaleData>(generator),
        "sink.failing" | "sink.recovered" => inline::<SinkHealthData>(generator),
        "delivery.dead" => inline::<DeadData>(generator),
        "digest.daily" | "digest.weekly" => inline::<DigestData>(generator),
        "bridge.test" => inline::<TestData>(generator),
        other if sample(other).is_some_and(|e| e.data.contains_key("band_after")) => inline::<LevelData>(generator),
        _ => inline::<ChangeData>(generator),
    }
}

/// The struct's own schema; what it refers to goes to the definitions.
fn inline<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}

fn with_definitions(mut schema: Schema, generator: &mut SchemaGenerator) -> Schema {
    let definitions = generator.take_definitions(true);
    if !definitions.is_empty() {
        schema.insert("$defs".to_owned(), Value::Object(definitions));
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::super::variants;
    use super::*;

    /// All fields a schema requires are there, and no field is unknown to it.
    fn fits(schema: &Value, data: &Value) -> Result<(), String> {
        let fields = data.as_object().ok_or("no object")?;
        let known = schema["properties"].as_object().ok_or("no properties")?;
        for required in schema["required"].as_array().into_iter().flatten() {
            let name = required.as_str().unwrap_or_default();
            fields.get(name).ok_or(format!("{name} is missing"))?;
        }
        match fields.keys().find(|name| !known.contains_key(*name)) {
            Some(unknown) => Err(format!("{unknown} is unknown")),
            None => Ok(()),
        }
    }

    #[test]
    fn every_sample_fits_its_schema() {
        let schemas = payload_schemas();
        for (kind, schema) in &schemas {
            for (variant, event) in variants(kind) {
                let data = Value::Object(event.data.clone().into_map());
                fits(schema.as_value(), &data).unwrap_or_else(|e| panic!("{kind} {variant}: {e}"));
                let whole = event_schema(kind).unwrap();
                fits(whole.as_value(), &serde_json::to_value(&event).unwrap())
                    .unwrap_or_else(|e| panic!("{kind}: {e}"));
                assert_eq!(whole.as_value()["properties"]["type"]["const"], **kind);
            }
        }
        assert!(event_schema("nonsense").is_none());
        assert!(
            event_schema("mission.created").unwrap().as_value()["properties"]["data"]["properties"]["before"]
                .is_object()
        );
    }
}
