"""The plugin is loaded through its entry point; pytester runs it as users do."""

pytest_plugins = ["pytester"]
