# Four analysts: one brings prices, two look at them and at the news side by side, one decides. Each works in a machine of its own.
#
#   voidbox run examples/trading_pipeline.hcl
#   voidbox run --var symbol=INIT --var headlines="INIT loses its chief" examples/trading_pipeline.hcl

variable "backend" {
  description = "auto (kvm where it is usable, else qemu), kvm, qemu or mock"
  default     = "auto"
}

variable "symbol" {
  default = "ACME"
}

variable "headlines" {
  description = "with semicolons between them"
  default     = "ACME wins a patent; ACME reports a record year; ACME closes a plant"
}

sandbox "desk" {
  backend = var.backend
  image   = "base"
}

# A recorded model: the demo needs no key and no network.
llm "replay" "main" {
  cassette = "cassettes/trading_pipeline.json"
}

skill "inline" "risk" {
  description = "When to buy, hold or sell."
  content     = "Buy when the price is above its mean and most of the news is good. Sell when neither is so. Else hold."
}

agent "data_analyst" {
  sandbox     = sandbox.desk
  llm         = llm.replay.main
  max_turns   = 10
  prompt      = "Write five daily prices of ${input.symbol}, invented whole numbers, one a line, oldest first, to /tmp/prices.txt."
  output_file = "/tmp/prices.txt"
}

agent "quant_analyst" {
  sandbox   = sandbox.desk
  llm       = llm.replay.main
  max_turns = 10
  prompt    = "Is the last of these prices above the mean of the last three? ${join(" ", split("\n", trimspace(input.prices)))}"
}

agent "sentiment_analyst" {
  sandbox   = sandbox.desk
  llm       = llm.replay.main
  max_turns = 10
  prompt    = "How many of these headlines are good news? ${input.headlines}"
}

agent "strategist" {
  sandbox   = sandbox.desk
  llm       = llm.replay.main
  skills    = [skill.inline.risk]
  max_turns = 10

  prompt = <<-EOT
    Buy, hold or sell ${input.symbol}? Write the decision to /tmp/decision.txt.
    Prices: ${input.quant}
    News: ${input.sentiment}
  EOT

  output_file = "/tmp/decision.txt"
}

pipeline "trading" {
  stage "data" {
    agent   = agent.data_analyst
    input   = { symbol = var.symbol }
    timeout = "10m"
  }

  stage "quant" {
    agent   = agent.quant_analyst
    input   = { prices = stage.data.output }
    timeout = "10m"
  }

  stage "sentiment" {
    agent      = agent.sentiment_analyst
    input      = { headlines = var.headlines }
    depends_on = [stage.data]
    timeout    = "10m"
  }

  stage "strategy" {
    agent   = agent.strategist
    input   = { symbol = var.symbol, quant = stage.quant.output, sentiment = stage.sentiment.output }
    timeout = "10m"
  }

  output "decision" {
    value = trimspace(stage.strategy.output)
  }
}
