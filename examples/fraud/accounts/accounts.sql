-- One SELECT over the table "source". Countries are spelled in one way, and nothing is said of accounts without an age.
SELECT accountID,
       timestamp,
       upper(trim(accountCountry)) AS accountCountry,
       isUserRegistered,
       numPaymentRejects1dPerUser,
       accountAge
FROM source
WHERE accountAge IS NOT NULL
