package control

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// problem is an error on its way.
type problem struct {
	Error  string `json:"error"`
	Reason string `json:"reason,omitempty"`
	Remedy string `json:"remedy,omitempty"`
}

var statuses = []struct {
	kind   error
	status int
}{
	{errdef.ErrNotFound, http.StatusNotFound},
	{errdef.ErrExists, http.StatusConflict},
	{errdef.ErrInvalid, http.StatusBadRequest},
	{errdef.ErrState, http.StatusPreconditionFailed},
	{errdef.ErrPermission, http.StatusForbidden},
	{errdef.ErrUnsupported, http.StatusNotImplemented},
	{errdef.ErrExhausted, http.StatusTooManyRequests},
	{errdef.ErrUnavailable, http.StatusServiceUnavailable},
}

// Fail answers with an error.
func Fail(w http.ResponseWriter, err error) {
	p, status := problem{Error: err.Error(), Remedy: errdef.Remedy(err)}, http.StatusInternalServerError
	var e *errdef.Error
	if errors.As(err, &e) {
		p.Reason = e.Reason
	}
	for _, s := range statuses {
		if errors.Is(err, s.kind) {
			status = s.status
			break
		}
	}
	answer(w, status, p)
}

// Reply answers with a document.
func Reply(w http.ResponseWriter, document any) { answer(w, http.StatusOK, document) }

func answer(w http.ResponseWriter, status int, document any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An error here is a client that went away.
	_ = json.NewEncoder(w).Encode(document)
}

// Read takes the document of a request, and all of it.
func Read(w http.ResponseWriter, r *http.Request, document any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(document); err != nil {
		return errdef.New(errdef.ErrInvalid, "read the request: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errdef.New(errdef.ErrInvalid, "the request goes on after its document")
	}
	return nil
}

// failure is the error of an answer.
func failure(status int, body []byte) error {
	var p problem
	if err := json.Unmarshal(body, &p); err != nil || p.Error == "" {
		return errdef.New(errdef.ErrDataLoss, "the run answered with status %d and %.200q", status, body)
	}
	kind := errdef.ErrAborted
	for _, s := range statuses {
		if s.status == status {
			kind = s.kind
			break
		}
	}
	return &errdef.Error{Kind: kind, Message: p.Error, Reason: p.Reason, Remedy: p.Remedy}
}
