//! Grafana's dashboard JSON: rows of time series, three beside each other.

use serde_json::{Value, json};

/// The version of Grafana's schema that is written; newer ones read it and upgrade it.
const SCHEMA_VERSION: u8 = 41;
/// Grafana divides a row into so many columns.
const COLUMNS: usize = 24;
/// Panels beside each other.
const PER_LINE: usize = 3;
const HEIGHT: usize = 8;

/// A whole dashboard.
pub(super) struct Dashboard {
    pub(super) uid: String,
    pub(super) title: String,
    /// What its reader chooses, beside the data source.
    pub(super) variables: Vec<Variable>,
    pub(super) rows: Vec<Row>,
}

/// A choice among the values of a label.
pub(super) struct Variable {
    name: &'static str,
    query: &'static str,
    /// The choice at first; none where it is empty.
    current: String,
}

/// Panels under a heading.
pub(super) struct Row {
    pub(super) title: &'static str,
    pub(super) panels: Vec<Panel>,
}

/// One picture.
pub(super) struct Panel {
    title: &'static str,
    /// One of Grafana's unit ids.
    unit: &'static str,
    /// Queries and the names of their lines.
    targets: Vec<(String, &'static str)>,
    /// A line across, from which on things are bad.
    limit: Option<f64>,
}

impl Variable {
    pub(super) fn query(name: &'static str, query: &'static str, current: &str) -> Self {
        Self {
            name,
            query,
            current: current.to_owned(),
        }
    }

    fn to_json(&self) -> Value {
        let Self {
            name,
            query,
            current,
        } = self;
        let current = if current.is_empty() {
            json!({})
        } else {
            json!({"text": current, "value": current})
        };
        json!({
            "name": name,
            "type": "query",
            "datasource": datasource(),
            "definition": query,
            "query": {"query": query, "refId": name},
            "current": current,
            "refresh": 2,
            "sort": 1,
        })
    }
}

impl Panel {
    pub(super) fn new(title: &'static str, unit: &'static str) -> Self {
        Self {
            title,
            unit,
            targets: Vec::new(),
            limit: None,
        }
    }

    pub(super) fn line(mut self, expr: String, legend: &'static str) -> Self {
        self.targets.push((expr, legend));
        self
    }

    pub(super) fn limit(mut self, limit: f64) -> Self {
        self.limit = Some(limit);
        self
    }

    fn to_json(&self, id: usize, index: usize, top: usize) -> Value {
        let width = COLUMNS / PER_LINE;
        let (x, y) = (index % PER_LINE * width, top + index / PER_LINE * HEIGHT);
        let targets: Vec<Value> = self
            .targets
            .iter()
            .zip('A'..='Z')
            .map(|((expr, legend), id)| {
                json!({
                    "refId": id.to_string(),
                    "datasource": datasource(),
                    "editorMode": "code",
                    "expr": expr,
                    "legendFormat": legend,
                    "range": true,
                })
            })
            .collect();
        json!({
            "id": id,
            "type": "timeseries",
            "title": self.title,
            "datasource": datasource(),
            "gridPos": {"x": x, "y": y, "w": width, "h": HEIGHT},
            "fieldConfig": {"defaults": self.field_defaults(), "overrides": []},
            "options": {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []},
                "tooltip": {"mode": "multi", "sort": "desc"},
            },
            "targets": targets,
        })
    }

    fn field_defaults(&self) -> Value {
        let mut steps = vec![json!({"color": "green", "value": null})];
        if let Some(limit) = self.limit {
            steps.push(json!({"color": "red", "value": limit}));
        }
        json!({
            "unit": self.unit,
            "min": 0,
            "color": {"mode": "palette-classic"},
            "custom": {
                "fillOpacity": 10,
                "showPoints": "never",
                "thresholdsStyle": {"mode": if self.limit.is_some() { "line" } else { "off" }},
            },
            "thresholds": {"mode": "absolute", "steps": steps},
        })
    }
}

impl Dashboard {
    pub(super) fn to_json(&self) -> Value {
        let mut variables = vec![json!({
            "name": "datasource",
            "type": "datasource",
            "query": "prometheus",
            "label": "Data source",
            "current": {},
            "refresh": 1,
        })];
        variables.extend(self.variables.iter().map(Variable::to_json));
        json!({
            "uid": self.uid,
            "title": self.title,
            "tags": ["claw"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": true,
            "graphTooltip": 1,
            "timezone": "browser",
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "annotations": {"list": []},
            "links": [],
            "templating": {"list": variables},
            "panels": panels(&self.rows),
        })
    }
}

/// Rows and panels are one list; positions and ids are counted through.
fn panels(rows: &[Row]) -> Vec<Value> {
    let mut panels = Vec::new();
    let mut top = 0;
    for row in rows {
        panels.push(json!({
            "id": panels.len() + 1,
            "type": "row",
            "title": row.title,
            "collapsed": false,
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
            "panels": [],
        }));
        top += 1;
        for (index, panel) in row.panels.iter().enumerate() {
            panels.push(panel.to_json(panels.len() + 1, index, top));
        }
        top += row.panels.len().div_ceil(PER_LINE) * HEIGHT;
    }
    panels
}

fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}
