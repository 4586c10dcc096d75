package base

import (
	"encoding/json"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// maxSchemaDepth bounds the blocks within blocks of a schema that comes from another process.
const maxSchemaDepth = 16

var kindToProto = map[Kind]pluginv1.PluginKind{
	KindVMM:     pluginv1.PluginKind_PLUGIN_KIND_VMM,
	KindNetwork: pluginv1.PluginKind_PLUGIN_KIND_NETWORK,
	KindShare:   pluginv1.PluginKind_PLUGIN_KIND_SHARE,
	KindSandbox: pluginv1.PluginKind_PLUGIN_KIND_SANDBOX,
	KindLLM:     pluginv1.PluginKind_PLUGIN_KIND_LLM,
	KindSkill:   pluginv1.PluginKind_PLUGIN_KIND_SKILL,
}

// kindFromProto returns "" for a kind that this version does not know.
func kindFromProto(p pluginv1.PluginKind) Kind {
	for kind, proto := range kindToProto {
		if proto == p {
			return kind
		}
	}
	return ""
}

func schemaToProto(s Schema) *pluginv1.Schema {
	out := &pluginv1.Schema{}
	for _, a := range s.Attributes {
		out.Attributes = append(out.Attributes, &pluginv1.Schema_Attribute{
			Name:        a.Name,
			Type:        a.Type,
			Description: a.Description,
			Required:    a.Required,
			Sensitive:   a.Sensitive,
			DefaultJson: a.Default,
		})
	}
	for _, b := range s.Blocks {
		out.Blocks = append(out.Blocks, &pluginv1.Schema_NestedBlock{
			Type:        b.Type,
			Description: b.Description,
			Schema:      schemaToProto(b.Schema),
			MinItems:    uint32(max(b.MinItems, 0)),
			MaxItems:    uint32(max(b.MaxItems, 0)),
		})
	}
	return out
}

func schemaFromProto(p *pluginv1.Schema, depth int) (Schema, error) {
	var s Schema
	if depth > maxSchemaDepth {
		return s, errdef.New(errdef.ErrInvalid, "schema nests blocks more than %d deep", maxSchemaDepth)
	}
	for _, a := range p.GetAttributes() {
		s.Attributes = append(s.Attributes, Attribute{
			Name:        a.GetName(),
			Type:        a.GetType(),
			Description: a.GetDescription(),
			Required:    a.GetRequired(),
			Sensitive:   a.GetSensitive(),
			Default:     json.RawMessage(a.GetDefaultJson()),
		})
	}
	for _, b := range p.GetBlocks() {
		inner, err := schemaFromProto(b.GetSchema(), depth+1)
		if err != nil {
			return s, err
		}
		s.Blocks = append(s.Blocks, NestedBlock{
			Type:        b.GetType(),
			Description: b.GetDescription(),
			Schema:      inner,
			MinItems:    int(b.GetMinItems()),
			MaxItems:    int(b.GetMaxItems()),
		})
	}
	return s, nil
}

func diagnosticsToProto(diags Diagnostics) []*pluginv1.Diagnostic {
	var out []*pluginv1.Diagnostic
	for _, d := range diags {
		severity := pluginv1.Diagnostic_SEVERITY_ERROR
		if d.Severity == Warning {
			severity = pluginv1.Diagnostic_SEVERITY_WARNING
		}
		out = append(out, &pluginv1.Diagnostic{Severity: severity, Summary: d.Summary, Detail: d.Detail, Path: d.Path})
	}
	return out
}

func diagnosticsFromProto(diags []*pluginv1.Diagnostic) Diagnostics {
	var out Diagnostics
	for _, d := range diags {
		severity := Error
		if d.GetSeverity() == pluginv1.Diagnostic_SEVERITY_WARNING {
			severity = Warning
		}
		out = append(out, Diagnostic{Severity: severity, Summary: d.GetSummary(), Detail: d.GetDetail(), Path: d.GetPath()})
	}
	return out
}
