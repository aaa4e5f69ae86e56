from pipelines.stream_complete import main

if __name__ == "__main__":
    main()
