// shop is a small shop for the course and its labs: two services and a customer in one program.
//
//	shop catalogue       what there is to buy, from PostgreSQL
//	shop checkout        what a purchase comes to; needs no store
//	shop customer URL    asks URL again and again, and counts the requests that were lost
//
// The third service, the cart, is a Python program that keeps its things in Redis: autograder/start/07.1.yaml.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const address = ":8080"

var version = flag.String("version", "1.0", "what the program says its version is, and behaves like: 1.0, 2.0 or 2.1")

func main() {
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: shop [-version VERSION] catalogue | checkout | customer URL")
		os.Exit(2)
	}
	flag.Parse()
	log.SetFlags(log.Ltime)
	stopped, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	switch {
	case flag.NArg() == 1 && flag.Arg(0) == "catalogue":
		catalogue(stopped)
	case flag.NArg() == 1 && flag.Arg(0) == "checkout":
		checkout(stopped)
	case flag.NArg() == 2 && flag.Arg(0) == "customer":
		customer(stopped, flag.Arg(1))
	default:
		flag.Usage()
	}
}

// serve answers requests until stopped. Then it accepts no more, and finishes those that it has.
func serve(stopped context.Context, service string, routes *http.ServeMux) {
	server := &http.Server{Addr: address, Handler: routes, ReadHeaderTimeout: 10 * time.Second}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		<-stopped.Done()
		log.Println(service, "stops: it accepts no more requests")
		limit, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		server.Shutdown(limit)
	}()
	log.Println(service, *version, "listens on", address)
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	<-finished
}

// answer writes an answer as JSON: what is said, and who says it.
func answer(w http.ResponseWriter, status int, service string, says map[string]any) {
	says["service"], says["version"] = service, *version
	says["pod"], _ = os.Hostname()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(says)
}
