package modelserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Model is a model that the server has.
type Model struct {
	Name    string
	Tools   bool
	Context int
}

// Config says what the server is like, beside its rules.
type Config struct {
	Rules  []Rule  `json:"rules"`
	Key    string  `json:"key,omitempty"`    // that requests must carry; empty takes any
	Models []Model `json:"models,omitempty"` // that there are; empty means every name
	// Pullable are the models that /api/pull can fetch.
	Pullable []Model `json:"pullable,omitempty"`
}

// Received is a request as it arrived.
type Received struct {
	Method, Path string
	Header       http.Header
	Body         []byte
}

// Server answers by rules, the first that matches. It is an http.Handler.
type Server struct {
	rules []rule
	key   string
	mux   *http.ServeMux

	mu       sync.Mutex
	models   []Model
	pullable []Model
	received []Received
	watch    func(Received)
	faults   []*Fault // of the requests to come
	every    *Fault   // of those after
}

// maxReceived bounds how many requests are kept.
const maxReceived = 10_000

// New makes a server of rules.
func New(rules ...Rule) (*Server, error) { return NewServer(Config{Rules: rules}) }

// NewServer makes a server.
func NewServer(cfg Config) (*Server, error) {
	s := &Server{key: cfg.Key, models: cfg.Models, pullable: cfg.Pullable, mux: http.NewServeMux()}
	for i, r := range cfg.Rules {
		compiled, err := r.compile()
		if err != nil {
			return nil, fmt.Errorf("rule %d: %w", i+1, err)
		}
		s.rules = append(s.rules, compiled)
	}
	s.mux.HandleFunc("POST "+Path, s.turn)
	s.anthropic()
	s.openai()
	s.ollama()
	return s, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBytes))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	in := Received{Method: r.Method, Path: r.URL.Path, Header: r.Header.Clone(), Body: body}
	s.mu.Lock()
	if len(s.received) < maxReceived {
		s.received = append(s.received, in)
	}
	watch := s.watch
	s.mu.Unlock()
	if watch != nil {
		watch(in)
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	s.mux.ServeHTTP(w, r)
}

// Watch has f called with each request before it is answered, which waits for f.
func (s *Server) Watch(f func(Received)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch = f
}

// Received returns the requests so far.
func (s *Server) Received() []Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.received)
}

// turn serves our own protocol.
func (s *Server) turn(w http.ResponseWriter, r *http.Request) {
	var req Request
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		refuse(w, http.StatusBadRequest, Problem{Error: fmt.Sprintf("decode the request: %v", err)})
		return
	}
	turn, err := s.Turn(req)
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, Problem{Error: err.Error()})
		return
	}
	answer(w, turn)
}

// Turn answers a conversation.
func (s *Server) Turn(req Request) (Turn, error) {
	if len(req.Messages) == 0 {
		return Turn{}, errors.New("the conversation is empty")
	}
	last := req.Messages[len(req.Messages)-1]
	for _, r := range s.rules {
		if turn, ok, err := r.apply(req, last); ok || err != nil {
			return turn, err
		}
	}
	return Turn{}, fmt.Errorf("no rule matches %.500q %.500v", last.Text, last.Results)
}

// allowed looks at the credential of a request.
func (s *Server) allowed(r *http.Request) bool {
	if s.key == "" {
		return true
	}
	return r.Header.Get("X-Api-Key") == s.key || r.Header.Get("Authorization") == "Bearer "+s.key
}

// model finds a model by name.
func (s *Server) model(name string) (Model, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.models) == 0 && len(s.pullable) == 0 {
		return Model{Name: name, Tools: true, Context: 131072}, name != ""
	}
	for _, m := range s.models {
		if m.Name == name || m.Name == name+":latest" {
			return m, true
		}
	}
	return Model{}, false
}

func answer(w http.ResponseWriter, v any) { refuse(w, http.StatusOK, v) }

func refuse(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // an error means that the client has gone
}
