;; Opens a Syrup store with Goblins, adds to the counter that its root holds, and says
;; what it came to. Goblins writes the store anew.
;;   goblins.scm FILE
(use-modules (goblins)
             (goblins vat)
             (goblins persistence-store syrup)
             (ice-9 match))

(define-actor (^counter bcom count)
  (lambda (by)
    (bcom (^counter bcom (+ count by)) (+ count by))))

(define-actor (^holder bcom held data)
  (lambda () (list held data)))

(define env
  (make-persistence-env
   `((((test) ^counter) ,^counter)
     (((test) ^holder) ,^holder))))

(define-values (vat holder)
  (spawn-persistent-vat
   env
   (lambda () (error "the store is empty"))
   (make-syrup-store (cadr (command-line)))))

(define answer
  (with-vat vat
    (match ($ holder)
      ((counter data) (list ($ counter 1) data)))))
(write answer)
(newline)
