# An MCP server in a page of shell, for the sake of the example: one tool, which says how much of an item is in stock. Real ones are
# programs in the image. A message is a line of JSON; see https://modelcontextprotocol.io.

say() { printf '%s\n' "$1"; }

while read -r line; do
  case $line in *'"id":'*) ;; *) continue ;; esac # nobody waits for an answer to a notification
  id=${line#*\"id\":}
  id=${id%%,*}
  answer="{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":"
  case $line in
    *'"method":"initialize"'*)
      say "$answer"'{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"inventory","version":"1"}}}'
      ;;
    *'"method":"tools/list"'*)
      say "$answer"'{"tools":[{"name":"stock","description":"Says how many crates of an item are in stock.","inputSchema":{"type":"object","properties":{"item":{"type":"string","enum":["apples","pears"]}},"required":["item"]}}]}}'
      ;;
    *'"item":"apples"'*) say "$answer"'{"content":[{"type":"text","text":"12"}]}}' ;;
    *'"item":"pears"'*) say "$answer"'{"content":[{"type":"text","text":"7"}]}}' ;;
    *'"method":"tools/call"'*) say "$answer"'{"content":[{"type":"text","text":"There is no such item."}],"isError":true}}' ;;
    *) say "{\"jsonrpc\":\"2.0\",\"id\":$id,\"error\":{\"code\":-32601,\"message\":\"no such method\"}}" ;;
  esac
done
