;; Says, line by line, what the programs of tests/goblins_beside.rs come to in Goblins.
(use-modules (goblins) (goblins actor-lib methods) (fibers conditions) (ice-9 format))

;; Not to wait for ever for what does not come.
(alarm 60)

(define (say . parts)
  (for-each display parts)
  (newline))

(define* (^incrementer bcom #:optional [count 0])
  (lambda* (#:optional [by 1])
    (let ((next (+ count by)))
      (bcom (^incrementer bcom next)
            (format #f "My new count is: ~a" next)))))

(define* (^cell bcom #:optional [held #f])
  (case-lambda
    (() held)
    ((next) (bcom (^cell bcom next)))))

(define am (make-actormap))
(define first-one (actormap-spawn! am ^incrementer))
(define other-one (actormap-spawn! am ^incrementer 18))
(say (actormap-poke! am first-one))
(say (actormap-poke! am first-one 20))
(say (actormap-poke! am other-one 42))

(define cell (actormap-spawn! am ^cell 1))
(define-values (value apart messages) (actormap-turn am cell 5))
(say "apart " (actormap-peek am cell) " " (actormap-peek apart cell))
(actormap-peek am cell 6)
(say "peeked " (actormap-peek am cell))
(transactormap-merge! apart)
(say "merged " (actormap-peek am cell))
(define (double)
  ($ cell (* 2 ($ cell)))
  ($ cell))
(say "run " (actormap-run am double) " " (actormap-run am double))
(say "run! " (actormap-run! am double) " " (actormap-run! am double))

(define a-vat (spawn-vat))
(define b-vat (spawn-vat))

(define (^factory bcom company)
  (define (^car bcom model colour)
    (methods
     ((drive) (format #f "*Vroom!* You drive your ~a ~a ~a!" colour company model))))
  (lambda (model colour) (spawn ^car model colour)))

(define (^broken bcom)
  (lambda () (error "broken")))

(define (^counting bcom times)
  (methods
   ((get) ($ times))
   ((greet)
    ($ times (+ 1 ($ times)))
    (error "broken"))))

(define factory (with-vat a-vat (spawn ^factory "Fork")))
(define broken (with-vat a-vat (spawn ^broken)))
(define counting (with-vat a-vat (spawn ^counting (spawn ^cell 0))))

;; One after the other, so that the lines come in the order of the program.
(define (wait-for setup)
  (define done (make-condition))
  (with-vat b-vat (setup (lambda () (signal-condition! done))))
  (wait done))

(wait-for
 (lambda (done)
   (let* ((car (<- factory "Explorist" "blue"))
          (noise (<- car 'drive)))
     (on noise (lambda (noise) (say "Heard: " noise)) #:finally done))))
(wait-for
 (lambda (done)
   (on (<- (<- broken) 'drive)
       (lambda (value) (say "fulfilled"))
       #:catch (lambda (reason) (say "caught"))
       #:finally (lambda () (say "finally") (done)))))
(wait-for
 (lambda (done)
   (on (on 7 (lambda (seven) (* 2 seven)) #:promise? #t)
       (lambda (value) (say "fourteen is " value))
       #:finally done)))
(wait-for
 (lambda (done)
   (on (on (<- broken) #:catch (lambda (reason) "mended") #:promise? #t)
       (lambda (value) (say value))
       #:finally done)))
(wait-for
 (lambda (done)
   (call-with-values spawn-promise-and-resolver
     (lambda (vow resolver)
       (on vow (lambda (value) (say "resolved to " value)) #:finally done)
       ($ resolver 'fulfill "something")))))
(false-if-exception (with-vat a-vat ($ counting 'greet)))
(say "counted " (with-vat a-vat ($ counting 'get)))
