"""The JSON Schema of the configuration file, for editors."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from authsvc.config.models import File


class _Generator(GenerateJsonSchema):
    """Says what the file may hold, not what pydantic keeps of it."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        # In the file a key without a value is an error.
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        default = made.get("default")
        # Durations are numbers inside and text in the file; absent values and whole sections tell nothing.
        told = isinstance(default, (str, bool)) or (isinstance(default, int) and made.get("type") != "string")
        if not told:
            made.pop("default", None)
        return made

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        made = super().dict_schema(schema)
        if "patternProperties" in made:
            made["additionalProperties"] = False
            made.pop("propertyNames", None)
        return made

    def field_title_should_be_set(self, schema: CoreSchema | Any) -> bool:  # noqa: ANN401 - as it is declared
        del schema
        return False


def json_schema() -> dict[str, Any]:
    """Return the schema; what takes two values to judge is left to the loader."""
    schema = File.model_json_schema(schema_generator=_Generator)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "authsvc configuration"}
