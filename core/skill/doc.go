// Package skill turns the skills of a plan into directories inside a sandbox, as the Agent Skills convention has them: a
// directory with a SKILL.md, whose front matter says what it is called and what it is good for.
//
// The real directories stand in $HOME/.agents/skills, and $HOME/.claude/skills is a link to it: every agent program that
// knows skills looks in one of the two. Nothing is put into the workspace.
//
// The kinds file, inline and remote are built in. A file skill is a Markdown file of the host, or a directory with a SKILL.md and
// whatever else it needs; an inline skill is text in the plan itself; a remote skill is a directory of a Git repository or an
// archive, which package remote fetches.
//
// The kind mcp is built in too, and another thing: a server of the Model Context Protocol, whose tools the agent gets. It has no
// files. The native loop speaks to it through package mcp; a command-line agent is told about it in the configuration of its own.
package skill
