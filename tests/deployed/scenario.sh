# For crates/cli/tests/it/harness.sh: two features, and sessions that all succeed.
features() {
    echo "{\"agent_name\": \"$1\", \"total_features\": 2, \"features\": ["
    echo '{"id": 1, "description": "reads", "passes": false, "dependencies": []},'
    echo '{"id": 2, "description": "writes", "passes": false, "dependencies": [1]}]}'
}

disturb() { :; }
