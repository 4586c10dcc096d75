// Package cassette reads recorded conversations and plays them.
//
// A cassette is a JSON file that a person can write:
//
//	{
//	  "voidbox_cassette": 1,
//	  "model": "replay",
//	  "price": {"input": 0, "output": 0},
//	  "conversations": [{
//	    "name": "hello",
//	    "match": "(?i)which machine",
//	    "turns": [
//	      {"text": "I look.", "tools": [{"id": "uname", "name": "bash", "arguments": {"command": "uname -a"}}]},
//	      {"expect": {"results": {"uname": "Linux *"}}, "text": "This is {{ tool `uname` }}."}
//	    ]
//	  }]
//	}
//
// The first conversation whose match, a regular expression, is found in the first prompt is played, so that one cassette serves a
// whole pipeline. With "times" it is played so often at most, and then the next that matches is.
//
// Before a turn the conversation must look as its expect says: user is the user's text, results the results of tools by the
// id of their call. A pattern is either /a regular expression/, which must be found somewhere, or text to be equal to, in which
// a star stands for anything. What is not named may be anything. That the earlier calls were answered, each once, is always
// demanded.
//
// Texts, and strings in arguments, are templates: {{ tool "id" }} is the result of a call, {{ last }} that of the last one, and
// {{ prompt }} the first prompt. Each takes a regular expression, whose first group (or whole match) it then stands for.
//
// A turn may also say thinking, usage, stop (end_turn, tool_use, max_tokens, refusal), opaque (provider state that must come
// back in its place), retries, error (a kind and a message, in place of a turn), hang (never answers), and raw arguments of a
// tool that are no JSON.
package cassette
