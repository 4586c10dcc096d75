package broker

// request is a line of the broker's standard input. Exactly one field is set.
type request struct {
	Grant  *Grant `json:"grant,omitempty"`
	Revoke string `json:"revoke,omitempty"`
}

// Report is a line of the broker's standard output.
type Report struct {
	Listening bool   `json:"listening,omitempty"` // the first line
	Token     string `json:"token,omitempty"`     // what the rest is about
	Done      bool   `json:"done,omitempty"`      // a request of the core's was carried out
	Refused   string `json:"refused,omitempty"`   // or was not, and why
	Spent     *Spent `json:"spent,omitempty"`     // so far, after an answer
	Over      string `json:"over,omitempty"`      // from now on nothing is let through, and why
	Limit     Limit  `json:"limit,omitempty"`     // which bound was reached
	Trouble   string `json:"trouble,omitempty"`   // something that the user should know
}

// Limit names a bound.
type Limit string

// Limits.
const (
	LimitTokens Limit = "tokens"
	LimitUSD    Limit = "usd"
)
