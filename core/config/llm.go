package config

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/skill/remote"
	"github.com/voidbox-run/voidbox/sdk/base"
)

// The kinds of skill that are built in.
const (
	skillFile   = "file"
	skillInline = "inline"
	skillRemote = "remote"
	skillMCP    = "mcp"
	skillCLI    = "cli"
	skillAgent  = "agent"
)

// isBuiltInSkill tells a kind of skill that no plugin serves.
func isBuiltInSkill(kind string) bool {
	return slices.Contains([]string{skillFile, skillInline, skillRemote, skillMCP, skillCLI, skillAgent}, kind)
}

// maxSkillText bounds the text of an inline skill.
const maxSkillText = 1 << 20

// evalLLM reads an llm block: the plugin's arguments and the core's.
func (l *loader) evalLLM(b *hcl.Block) (cty.Value, hcl.Diagnostics) {
	config, core := l.pluginAndCore(b, base.KindLLM, llmBlock)
	m := &plan.LLM{Block: config, Model: core.str("model"), Price: core.price()}
	if !core.ok() {
		return cty.NilVal, core.diags
	}
	l.plan.LLMs = append(l.plan.LLMs, m)
	return cty.CapsuleVal(llmType, m), core.diags
}

// price reads the price of an llm block's model. What is read from and written to the provider's cache costs as much as other input
// unless the block says so.
func (d *decoder) price() *plan.Price {
	input, output := d.dollars("input_price", -1), d.dollars("output_price", -1)
	read, write := d.dollars("cache_read_price", input), d.dollars("cache_write_price", input)
	if input < 0 && output < 0 && read < 0 && write < 0 {
		return nil
	}
	if input < 0 || output < 0 {
		d.fail(at(d.content.MissingItemRange, "Half a price", "Set both \"input_price\" and \"output_price\", or neither."))
		return nil
	}
	return &plan.Price{Input: input, Output: output, CacheRead: read, CacheWrite: write}
}

// dollars reads an amount of money.
func (d *decoder) dollars(name string, def float64) float64 {
	v, ok := d.value(name, cty.Number)
	if !ok || !v.IsKnown() {
		return def
	}
	usd, _ := v.AsBigFloat().Float64()
	if !(usd >= 0 && usd <= 1e6) {
		d.fail(at(d.rng(name), "Invalid price", "%q must be in US dollars for a million tokens, from 0 to a million.", name))
		return def
	}
	return usd
}

// evalSkill reads a skill block.
func (l *loader) evalSkill(b *hcl.Block) (cty.Value, hcl.Diagnostics) {
	s := &plan.Skill{Block: plan.Block{Plugin: b.Labels[0], Label: b.Labels[1]}}
	var d *decoder
	switch b.Labels[0] {
	case skillFile:
		d = l.decode(b, fileSkill)
		s.Path = d.existing("path")
	case skillInline:
		d = l.decode(b, inlineSkill)
		s.Content = d.str("content")
		if d.ok() && (strings.TrimSpace(s.Content) == "" || len(s.Content) > maxSkillText) {
			d.fail(at(d.rng("content"), "Invalid skill", "The text of a skill must not be empty, nor over %s.", formatSize(maxSkillText)))
		}
	case skillRemote:
		d = l.decode(b, remoteSkill)
		d.remote(s)
	case skillMCP:
		d = l.decode(b, mcpSkill)
		d.server(s, b)
	case skillCLI:
		d = l.decode(b, cliSkill)
		d.program(s)
	case skillAgent:
		d = l.decode(b, agentSkill)
		d.colleague(s)
	default:
		s.Block, d = l.pluginAndCore(b, base.KindSkill, skillBlock)
	}
	s.Description = d.str("description")
	if !d.ok() {
		return cty.NilVal, d.diags
	}
	l.plan.Skills = append(l.plan.Skills, s)
	return cty.CapsuleVal(skillType, s), d.diags
}

// remote reads where a remote skill lies.
func (d *decoder) remote(s *plan.Skill) {
	s.Source, s.Ref, s.Hash = d.str("source"), d.str("ref"), d.str("hash")
	if !d.ok() || slices.Contains([]string{s.Source, s.Ref, s.Hash}, plan.Redacted) {
		return
	}
	if _, err := remote.Parse(s.Source, s.Ref, s.Hash); err != nil {
		d.fail(at(d.rng("source"), "Invalid skill", "The source cannot be used: %v.%s", err, remedyText(err)))
	}
}

// pluginAndCore reads a block that a plugin and the core share: labels plugin and name, the plugin's arguments as its
// configuration, and a decoder for the core's.
func (l *loader) pluginAndCore(b *hcl.Block, kind base.Kind, spec *block) (plan.Block, *decoder) {
	content, _, _ := b.Body.PartialContent(spec.schema())
	d := l.newDecoder(content, nil, spec)
	d.anyOrigin = true
	block := plan.Block{Plugin: b.Labels[0], Label: b.Labels[1]}
	var desc base.Description
	if l.describer.enabled() {
		var err error
		if desc, err = l.describer.describe(kind, b.Labels[0]); err != nil {
			d.fail(unknownPlugin(kind, b.Labels[0], err, b.LabelRanges[0]))
			return block, d
		}
	}
	config, diags := l.pluginConfig(b, desc.Schema, spec)
	d.diags = append(d.diags, diags...)
	d.gaveUp = d.gaveUp || config == nil
	block.Config = config
	return block, d
}
