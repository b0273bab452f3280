FLASK_APP=core.cli:create_cli_app
