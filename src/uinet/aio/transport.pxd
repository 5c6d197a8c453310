# compiled as it is: its classes stay Python classes, for users to derive from
