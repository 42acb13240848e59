package main

import (
	"context"
	"log"
	"net/http"
	"strconv"
	"time"
)

// What checkout takes before it listens, as if it had a lot to read.
const warmUp = 3 * time.Second

// checkout computes what a purchase comes to. Version 2.0 knows taxes; 2.1 would, if it could read its table of them.
func checkout(stopped context.Context) {
	percent := 0
	var broken string
	switch *version {
	case "2.0":
		percent = 19
	case "2.1":
		broken = `table of taxes, line 7: no country has the code "ZQ"`
	}
	log.Println("checkout", *version, "reads its tables")
	select {
	case <-time.After(warmUp):
	case <-stopped.Done():
		return
	}
	if broken != "" {
		log.Println("error:", broken)
	}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if broken != "" {
			answer(w, http.StatusInternalServerError, "checkout", map[string]any{"error": broken})
			return
		}
		answer(w, http.StatusOK, "checkout", map[string]any{})
	})
	routes.HandleFunc("GET /total", func(w http.ResponseWriter, r *http.Request) {
		net, err := strconv.Atoi(r.FormValue("net")) // in cents
		switch {
		case err != nil:
			answer(w, http.StatusBadRequest, "checkout", map[string]any{"error": "ask for /total?net=CENTS"})
		case broken != "":
			answer(w, http.StatusInternalServerError, "checkout", map[string]any{"error": broken})
		default:
			answer(w, http.StatusOK, "checkout", map[string]any{"net": net, "total": net + net*percent/100})
		}
	})
	serve(stopped, "checkout", routes)
}
