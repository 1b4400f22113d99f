print("chanter")
